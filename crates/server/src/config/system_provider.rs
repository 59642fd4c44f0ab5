//! The operator's LLM providers and their rate card.

use std::path::PathBuf;

use creel_wire::money::Micros;
use creel_wire::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize};

use super::{ConfigError, Environment};

/// An upstream that the operator pays for and sells in credits.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SystemProvider {
    /// What a WuyingCredit provider names as its ProviderName.
    pub name: String,
    /// Where its API begins, such as `https://…/v1`.
    pub base_url: String,
    /// Its dialect: `openai-completions`, `openai-responses` or `anthropic-messages`.
    pub api: String,
    /// Name of the environment variable that holds its key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// File that holds its key; a line break at the end does not count.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// Its key. At most one of the three is given; a local upstream may need none.
    #[serde(default, serialize_with = "super::masked_secret")]
    pub api_key: Option<Secret>,
    #[serde(default, rename = "model")]
    pub models: Vec<SystemModel>,
}

/// A model of the operator's provider.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SystemModel {
    /// As the upstream names it.
    pub code: String,
    /// For people.
    pub name: String,
    /// Tokens.
    #[serde(default)]
    pub context_window: Option<u32>,
    /// Tokens.
    #[serde(default)]
    pub max_output_tokens: Option<u32>,
    /// Factor on the price in millionths, written as a number or decimal text: `1`, `"0.5"`.
    #[serde(
        default = "one",
        deserialize_with = "decimal",
        serialize_with = "as_decimal",
        rename = "multiplier"
    )]
    pub multiplier_micros: Micros,
    /// Without one, calls are refused wherever they would be billed.
    #[serde(default)]
    pub price: Option<ModelPrice>,
}

/// Micro-credits for 1,000 tokens of each class, written in credits as decimal text: `"0.02"`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    #[serde(deserialize_with = "decimal", serialize_with = "as_decimal")]
    pub input: Micros,
    /// `None`: the price of `input`.
    #[serde(default, deserialize_with = "optional_decimal", serialize_with = "as_optional_decimal")]
    pub cached_input: Option<Micros>,
    /// `None`: the price of `input`.
    #[serde(default, deserialize_with = "optional_decimal", serialize_with = "as_optional_decimal")]
    pub cache_write: Option<Micros>,
    #[serde(deserialize_with = "decimal", serialize_with = "as_decimal")]
    pub output: Micros,
}

fn one() -> Micros {
    Micros(creel_wire::money::MICROS_PER_CREDIT)
}

/// Decimal text or a whole number; a TOML float is refused, because money is never computed in floating point.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a decimal in quotes such as \"0.2\", or a whole number")]
enum Decimal {
    Whole(i64),
    Text(String),
}

impl Decimal {
    fn micros<E: serde::de::Error>(self) -> Result<Micros, E> {
        let micros = match self {
            Decimal::Whole(number) => {
                Micros::from_credits(number).ok_or_else(|| E::custom("the number is too large"))?
            }
            Decimal::Text(text) => text.parse().map_err(E::custom)?,
        };
        if micros < Micros::ZERO {
            return Err(E::custom("the number must not be negative"));
        }
        Ok(micros)
    }
}

fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Micros, D::Error> {
    Decimal::deserialize(deserializer)?.micros()
}

fn optional_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Micros>, D::Error> {
    Option::<Decimal>::deserialize(deserializer)?.map(Decimal::micros).transpose()
}

fn as_decimal<S: serde::Serializer>(micros: &Micros, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(micros)
}

fn as_optional_decimal<S: serde::Serializer>(
    micros: &Option<Micros>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match micros {
        None => serializer.serialize_none(),
        Some(micros) => serializer.collect_str(micros),
    }
}

impl SystemProvider {
    /// Puts the key from its variable or file into `api_key`, and checks what serde cannot.
    pub(super) fn resolve(&mut self, environment: &dyn Environment) -> Result<(), ConfigError> {
        let key = format!("system_provider {}", self.name);
        let given = [self.api_key.is_some(), self.api_key_env.is_some(), self.api_key_file.is_some()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err(ConfigError::value(key, "give only one of api_key, api_key_env and api_key_file"));
        }
        if !self.base_url.starts_with("http://") && !self.base_url.starts_with("https://") {
            return Err(ConfigError::value(key, "base_url must begin with http:// or https://"));
        }
        if let Some(name) = &self.api_key_env {
            let clear = environment.get(name).filter(|clear| !clear.is_empty());
            let clear = clear.ok_or_else(|| {
                ConfigError::value(key, format!("the environment variable {name} (api_key_env) is not set"))
            })?;
            self.api_key = Some(Secret::new(clear));
        }
        if let Some(path) = &self.api_key_file {
            let clear = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
            self.api_key = Some(Secret::new(clear.trim_end_matches(['\n', '\r']).to_owned()));
        }
        Ok(())
    }
}
