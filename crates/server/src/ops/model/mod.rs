//! Models of providers (LLM templates, in the provider's words).

pub(crate) mod batch_create_llm_templates;
pub(crate) mod delete_llm_template;
pub(crate) mod list_llm_templates;

pub(crate) mod prices;

use creel_control::model::config::ModelTraits;

/// What a model takes and gives, in the API's words: `Text`, `Image`, `Audio`, `Video`.
pub(crate) fn modalities(traits: &ModelTraits) -> (Vec<String>, Vec<String>) {
    let capital = |word: &String| {
        let mut letters = word.chars();
        letters.next().map(|first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
    };
    (traits.input.iter().filter_map(capital).collect(), vec!["Text".to_owned()])
}
