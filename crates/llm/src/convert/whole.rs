//! Answers that are not streamed, and what both kinds of answers share.

use serde_json::{Map, Value, json};

use super::chat_to_messages::tool_input;
use super::members::{At, ConvertError, Members};
use super::{Naming, finish_reason, stop_reason};
use crate::dialect::Dialect;
use crate::usage::Usage;

/// Converts a whole answer of an upstream that speaks `upstream`; `usage` is what it told.
pub(crate) fn answer(
    upstream: Dialect,
    body: &[u8],
    usage: Option<Usage>,
    naming: &Naming,
) -> Result<Vec<u8>, ConvertError> {
    let map: Map<String, Value> = serde_json::from_slice(body).map_err(|_| ConvertError::Json)?;
    let usage = usage.unwrap_or_default();
    let from = Members::root(map);
    let answer = if upstream == Dialect::Messages {
        chat(from, &usage, naming)
    } else {
        message(from, &usage, naming)
    };
    Ok(answer?.to_string().into_bytes())
}

fn chat(mut from: Members<'_>, usage: &Usage, naming: &Naming) -> Result<Value, ConvertError> {
    let (mut texts, mut calls, mut thinking) = (String::new(), Vec::new(), Vec::new());
    let mut reasoning = String::new();
    let at = At::ROOT.member("content");
    for (index, value) in from.list("content")?.unwrap_or_default().into_iter().enumerate() {
        let at = at.index(index);
        let mut block = at.object(value.clone())?;
        match block.need_text("type")?.as_str() {
            "text" => texts.push_str(&block.need_text("text")?),
            "thinking" => {
                reasoning.push_str(&block.need_text("thinking")?);
                thinking.push(value);
            }
            "redacted_thinking" => thinking.push(value),
            "tool_use" => calls.push(json!({
                "id": block.need("id")?, "type": "function",
                "function": {"name": block.need("name")?, "arguments": block.need("input")?.to_string()},
            })),
            _ => return Err(block.refuse("type", "is of a kind that a chat completion cannot hold")),
        }
    }
    let content = if texts.is_empty() && !calls.is_empty() { Value::Null } else { texts.into() };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if let Some(message) = message.as_object_mut() {
        if !reasoning.is_empty() {
            message.insert("reasoning_content".into(), reasoning.into());
        }
        for (name, list) in [("thinking_blocks", thinking), ("tool_calls", calls)] {
            if !list.is_empty() {
                message.insert(name.into(), list.into());
            }
        }
    }
    let reason = from.text("stop_reason")?.unwrap_or_default();
    Ok(json!({
        "id": from.text("id")?.unwrap_or_else(|| naming.id.clone()),
        "object": "chat.completion",
        "created": naming.created_s,
        "model": from.text("model")?.unwrap_or_else(|| naming.model.clone()),
        "choices": [{
            "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(&reason),
        }],
        "usage": chat_usage(usage),
    }))
}

fn message(mut from: Members<'_>, usage: &Usage, naming: &Naming) -> Result<Value, ConvertError> {
    let choices = from.list("choices")?.unwrap_or_default();
    let at = At::ROOT.member("choices");
    let at = at.index(0);
    let choice = choices.into_iter().next().ok_or_else(|| at.refuse("is required"))?;
    let mut choice = at.object(choice)?;
    let at = at.member("message");
    let mut message = at.object(choice.need("message")?)?;
    let mut content = message.list("thinking_blocks")?.unwrap_or_default();
    if content.is_empty()
        && let Some(text) = reasoning_of(&mut message)
    {
        content.push(json!({"type": "thinking", "thinking": text, "signature": ""}));
    }
    for name in ["content", "refusal"] {
        if let Some(text) = message.text(name)?.filter(|text| !text.is_empty()) {
            content.push(json!({"type": "text", "text": text}));
        }
    }
    let at = at.member("tool_calls");
    let calls = message.list("tool_calls")?.unwrap_or_default();
    let has_calls = !calls.is_empty();
    for (index, call) in calls.into_iter().enumerate() {
        let at = at.index(index);
        let mut call = at.object(call)?;
        let id = call.need("id")?;
        let at = at.member("function");
        let mut function = at.object(call.need("function")?)?;
        let (name, arguments) = (function.need("name")?, function.text("arguments")?.unwrap_or_default());
        let why = "is not the text of a JSON object";
        let input = tool_input(&arguments).ok_or_else(|| function.refuse("arguments", why))?;
        content.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
    }
    let reason = choice.text("finish_reason")?.unwrap_or_default();
    // Some upstreams say "stop", or nothing, where they mean that tools are to be called.
    let reason =
        if has_calls && matches!(reason.as_str(), "stop" | "") { "tool_use" } else { stop_reason(&reason) };
    Ok(json!({
        "id": from.text("id")?.unwrap_or_else(|| naming.id.clone()),
        "type": "message", "role": "assistant",
        "model": from.text("model")?.unwrap_or_else(|| naming.model.clone()),
        "content": content, "stop_reason": reason, "stop_sequence": null, "usage": messages_usage(usage),
    }))
}

/// What a model thought, under either name that upstreams have for it.
pub(super) fn reasoning_of(message: &mut Members<'_>) -> Option<String> {
    ["reasoning_content", "reasoning"].into_iter().find_map(|name| match message.take(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    })
}

pub(super) fn chat_usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_total(), "completion_tokens": usage.output, "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}

pub(super) fn messages_usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input, "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached_input, "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    })
}
