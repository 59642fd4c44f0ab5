//! Chat completions into messages and back.
//!
//! Nothing is dropped in silence. A member of a request is carried over, or left out because no answer depends on it
//! (and then named to the caller), or refused with its place and the reason; one that is not known at all is
//! refused. `docs/dialects.md` has the table. Answers are built by upstreams, not by us: what the client's dialect
//! has no place for in an answer is listed there too.

mod chat_to_messages;
mod members;
mod messages_to_chat;
mod stream_to_chat;
mod stream_to_messages;
mod whole;

use serde_json::{Map, Value};

use crate::dialect::Dialect;
use crate::request::{Request, Rewrite, Sent};

pub use members::ConvertError;
pub(crate) use stream_to_chat::ToChat;
pub(crate) use stream_to_messages::ToMessages;
pub(crate) use whole::answer;

/// Output limit of a converted request that has none and is given none; messages cannot be asked for without.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 32_768;

/// What a converted answer says of itself where the upstream's dialect does not.
#[derive(Debug, Clone)]
pub struct Naming {
    /// Id of the answer, where the upstream gives none.
    pub id: String,
    /// Seconds since 1970.
    pub created_s: i64,
    /// The model, where the upstream does not name it.
    pub model: String,
}

/// Converts a request that was read from `body`.
pub(crate) fn request(
    request: &Request,
    body: &[u8],
    upstream: Dialect,
    rewrite: &Rewrite<'_>,
) -> Result<Sent, ConvertError> {
    if !request.dialect().converts_to(upstream) {
        return Err(ConvertError::Never { from: request.dialect(), to: upstream });
    }
    let map: Map<String, Value> = serde_json::from_slice(body).map_err(|_| ConvertError::Json)?;
    let mut left_out = Vec::new();
    let body = if upstream == Dialect::Messages {
        let wanted = request.output_tokens_wanted(rewrite.output_tokens_max, OUTPUT_TOKENS_DEFAULT);
        chat_to_messages::request(map, rewrite.model, wanted, &mut left_out)?
    } else {
        messages_to_chat::request(map, rewrite, &mut left_out)?
    };
    left_out.sort_unstable();
    left_out.dedup();
    Ok(Sent { body: Some(body.to_string().into_bytes()), left_out })
}

/// `finish_reason` for each `stop_reason`. The first of a pair counts on the way back.
const REASONS: &[(&str, &str)] = &[
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("pause_turn", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("tool_use", "tool_calls"),
    ("tool_use", "function_call"),
    ("refusal", "content_filter"),
];

fn finish_reason(stop_reason: &str) -> &'static str {
    REASONS.iter().find(|(stop, _)| *stop == stop_reason).map_or("stop", |(_, finish)| finish)
}

fn stop_reason(finish_reason: &str) -> &'static str {
    REASONS.iter().find(|(_, finish)| *finish == finish_reason).map_or("end_turn", |(stop, _)| stop)
}
