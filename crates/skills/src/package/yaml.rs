//! Front matter as YAML, with limits on all that YAML can grow by.

use serde::de::DeserializeOwned;
use serde_saphyr::{MessageFormatter, Options};

/// Bytes of front matter at the most.
pub(super) const FRONT_MATTER_BYTES_MAX: usize = 64 * 1024;

/// Reads a front matter, a second time with its plain texts quoted if it is no YAML: `description: Use when: asked`
/// is common, and agents read it so, too.
///
/// # Errors
/// What is wrong and at which line of the file, in words.
pub(super) fn parse<T: DeserializeOwned>(front_matter: &str) -> Result<T, String> {
    // the line of dashes above, so that lines count as in the file
    let text = format!("\n{front_matter}");
    serde_saphyr::from_str_with_options(&text, options()).or_else(|cause| {
        let quoted = quoted(&text);
        serde_saphyr::from_str_with_options(&quoted, options()).map_err(|_| {
            serde_saphyr::UserMessageFormatter.format_message(&cause).into_owned() + &place(&cause)
        })
    })
}

fn place(cause: &serde_saphyr::Error) -> String {
    cause.location().map(|at| format!(" (line {}, column {})", at.line(), at.column())).unwrap_or_default()
}

/// Aliases are expanded up to a few thousand nodes, which is more than any front matter has and nothing to a machine.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_events: 20_000,
            max_nodes: 10_000,
            max_aliases: 64,
            max_anchors: 64,
            max_recorded_anchor_events: 5_000,
            max_recorded_anchor_bytes: 4 * FRONT_MATTER_BYTES_MAX,
            max_documents: 1,
            max_total_scalar_bytes: 4 * FRONT_MATTER_BYTES_MAX,
            max_merge_keys: 64,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 5_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 64,
        },
        with_snippet: false,
    }
}

/// The front matter with the plain values of its own keys in quotes.
fn quoted(front_matter: &str) -> String {
    let line = |line: &str| {
        let (key, value) = line.split_once(": ")?;
        let is_key = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let value = value.trim();
        let is_plain = !value.starts_with(['"', '\'', '[', '{', '|', '>', '&', '#']);
        (is_key && is_plain && !value.is_empty())
            .then(|| format!("{key}: {}", serde_json::Value::from(value)))
    };
    front_matter.lines().map(|text| line(text).unwrap_or_else(|| text.to_owned()) + "\n").collect()
}
