//! A request for a message as a chat completion request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::members::{At, ConvertError, Members, NO_PLACE};
use crate::request::Rewrite;

/// Members that no answer depends on, wherever they stand.
const HINTS: &[&str] = &["cache_control", "diagnostics", "eager_input_streaming"];
/// OpenAI's limit of stop sequences.
const STOPS_MAX: usize = 4;
/// What effort a budget of thinking is nearest to: below so many tokens, that one.
const EFFORTS: &[(u64, &str)] = &[(4_096, "low"), (16_384, "medium")];

pub(super) fn request(
    map: Map<String, Value>,
    rewrite: &Rewrite<'_>,
    left_out: &mut Vec<&'static str>,
) -> Result<Value, ConvertError> {
    let mut from = Members::root(map);
    let mut to = Map::new();
    from.take("model");
    to.insert("model".into(), rewrite.model.into());
    let limit = from.need("max_tokens")?.as_u64();
    let limit = limit.ok_or_else(|| from.refuse("max_tokens", "must be a whole number of tokens"))?;
    let limit = rewrite.output_tokens_max.map_or(limit, |most| most.min(limit));
    to.insert(rewrite.output_field.name().into(), limit.into());
    if from.flag("stream")? == Some(true) {
        to.insert("stream".into(), true.into());
        to.insert("stream_options".into(), json!({"include_usage": true}));
    }
    let mut messages = Vec::new();
    if let Some(system) = from.take("system") {
        let content = texts(&At::ROOT.member("system"), system, left_out)?;
        messages.push(json!({"role": "system", "content": content}));
    }
    let list = from.need("messages")?;
    let at = At::ROOT.member("messages");
    turns(&at, at.list(list)?, &mut messages, left_out)?;
    to.insert("messages".into(), messages.into());
    tools(&mut from, &mut to, left_out)?;
    thinking_and_config(&mut from, &mut to)?;
    for name in ["temperature", "top_p"] {
        from.carry(name, &mut to, name);
    }
    if let Some(stops) = from.list("stop_sequences")?.filter(|stops| !stops.is_empty()) {
        if stops.len() > STOPS_MAX {
            return Err(from.refuse("stop_sequences", "must be at most 4 for this model's provider"));
        }
        to.insert("stop".into(), stops.into());
    }
    if let Some(metadata) = from.take("metadata") {
        let at = At::ROOT.member("metadata");
        let mut metadata = at.object(metadata)?;
        metadata.carry("user_id", &mut to, "user");
        metadata.end()?;
    }
    from.leave_out(HINTS, left_out);
    from.only("service_tier", &["auto".into(), "standard_only".into()])?;
    from.only("speed", &["standard".into()])?;
    from.end()?;
    Ok(Value::Object(to))
}

/// A text, or a list of texts: as one text where it is one.
fn texts(at: &At<'_>, value: Value, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let blocks = match value {
        Value::String(text) => return Ok(text.into()),
        other => at.list(other)?,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.into_iter().enumerate() {
        let at = at.index(index);
        let mut block = at.object(block)?;
        if block.need_text("type")? != "text" {
            return Err(block.refuse("type", NO_PLACE));
        }
        parts.push(text_part(block, left_out)?);
    }
    Ok(one_or_all(parts))
}

/// What is left of a text block whose `type` was taken.
fn text_part(mut block: Members<'_>, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let text = block.need_text("text")?;
    block.leave_out(&["cache_control", "citations"], left_out);
    block.end()?;
    Ok(json!({"type": "text", "text": text}))
}

/// One text as such, for many upstreams know no parts where no pictures are.
fn one_or_all(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [only] if only.get("type") == Some(&"text".into()) => {
            only.get_mut("text").map(Value::take).unwrap_or_default()
        }
        _ => parts.into(),
    }
}

fn turns(
    at: &At<'_>,
    list: Vec<Value>,
    to: &mut Vec<Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), ConvertError> {
    let last = list.len().saturating_sub(1);
    for (index, message) in list.into_iter().enumerate() {
        let at = at.index(index);
        let mut message = at.object(message)?;
        let role = message.need_text("role")?;
        let content = message.need("content")?;
        message.leave_out(HINTS, left_out);
        message.end()?;
        let at_content = at.member("content");
        match role.as_str() {
            "user" => user(&at_content, content, to, left_out)?,
            "system" => {
                let content = texts(&at_content, content, left_out)?;
                to.push(json!({"role": "system", "content": content}));
            }
            "assistant" if index == last => {
                let why = "is the assistant's, which this model's provider cannot continue";
                return Err(at.refuse(why));
            }
            "assistant" => to.push(assistant(&at_content, content, left_out)?),
            _ => return Err(at.member("role").refuse("must be user, assistant or system")),
        }
    }
    Ok(())
}

fn user(
    at: &At<'_>,
    content: Value,
    to: &mut Vec<Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), ConvertError> {
    let blocks = match content {
        Value::String(text) => {
            to.push(json!({"role": "user", "content": text}));
            return Ok(());
        }
        other => at.list(other)?,
    };
    let mut parts = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        let at = at.index(index);
        let mut block = at.object(block)?;
        match block.need_text("type")?.as_str() {
            "text" => parts.push(text_part(block, left_out)?),
            "image" => parts.push(image(block, left_out)?),
            "document" => parts.push(document(block, left_out)?),
            "tool_result" if parts.is_empty() => to.push(tool_result(block, left_out)?),
            "tool_result" => return Err(at.refuse("must stand before all other blocks of its message")),
            _ => return Err(block.refuse("type", NO_PLACE)),
        }
    }
    if !parts.is_empty() {
        to.push(json!({"role": "user", "content": one_or_all(parts)}));
    }
    Ok(())
}

fn tool_result(mut block: Members<'_>, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let id = block.need_text("tool_use_id")?;
    let at = block.at.member("content");
    let content = block.take("content").map(|content| texts(&at, content, left_out)).transpose()?;
    let mut content = content.filter(|content| *content != json!([])).unwrap_or_else(|| "".into());
    if block.flag("is_error")? == Some(true) {
        // A chat completion knows no failed call but by its words.
        content = match content {
            Value::String(text) => format!("Error: {text}").into(),
            Value::Array(mut parts) => {
                parts.insert(0, json!({"type": "text", "text": "Error:"}));
                parts.into()
            }
            other => other,
        };
    }
    block.leave_out(HINTS, left_out);
    block.end()?;
    Ok(json!({"role": "tool", "tool_call_id": id, "content": content}))
}

fn image(mut block: Members<'_>, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let source = block.need("source")?;
    let at = block.at.member("source");
    let mut source = at.object(source)?;
    let url = match source.need_text("type")?.as_str() {
        "base64" => {
            let media_type = source.need_text("media_type")?;
            format!("data:{media_type};base64,{}", source.need_text("data")?)
        }
        "url" => source.need_text("url")?,
        _ => return Err(source.refuse("type", NO_PLACE)),
    };
    source.end()?;
    block.leave_out(HINTS, left_out);
    block.end()?;
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(mut block: Members<'_>, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let source = block.need("source")?;
    let at = block.at.member("source");
    let mut source = at.object(source)?;
    let (name, data) = match source.need_text("type")?.as_str() {
        "base64" => {
            source.only("media_type", &["application/pdf".into()])?;
            ("document.pdf", format!("data:application/pdf;base64,{}", source.need_text("data")?))
        }
        "text" => {
            source.only("media_type", &["text/plain".into()])?;
            let data = STANDARD.encode(source.need_text("data")?);
            ("document.txt", format!("data:text/plain;base64,{data}"))
        }
        _ => return Err(source.refuse("type", NO_PLACE)),
    };
    source.end()?;
    let name = block.text("title")?.unwrap_or_else(|| name.to_owned());
    if let Some(citations) = block.take("citations")
        && citations.get("enabled") == Some(&true.into())
    {
        return Err(block.refuse("citations", NO_PLACE));
    }
    block.leave_out(HINTS, left_out);
    block.end()?;
    Ok(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
}

fn assistant(at: &At<'_>, content: Value, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let blocks = match content {
        Value::String(text) => return Ok(json!({"role": "assistant", "content": text})),
        other => at.list(other)?,
    };
    let (mut parts, mut calls, mut thinking) = (Vec::new(), Vec::new(), Vec::new());
    let mut reasoning = String::new();
    for (index, value) in blocks.into_iter().enumerate() {
        let at = at.index(index);
        let mut block = at.object(value)?;
        let kind = block.need_text("type")?;
        match kind.as_str() {
            "text" => parts.push(text_part(block, left_out)?),
            "tool_use" => calls.push(tool_call(block, left_out)?),
            "thinking" => {
                let text = block.need_text("thinking")?;
                reasoning.push_str(&text);
                let signature = block.text("signature")?.filter(|signature| !signature.is_empty());
                if let Some(signature) = signature {
                    thinking.push(json!({"type": kind, "thinking": text, "signature": signature}));
                }
                block.end()?;
            }
            "redacted_thinking" => {
                thinking.push(json!({"type": kind, "data": block.need_text("data")?}));
                block.end()?;
            }
            _ => return Err(block.refuse("type", NO_PLACE)),
        }
    }
    let content = if parts.is_empty() { Value::Null } else { one_or_all(parts) };
    let mut message = json!({"role": "assistant", "content": content});
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
    Ok(message)
}

fn tool_call(mut block: Members<'_>, left_out: &mut Vec<&'static str>) -> Result<Value, ConvertError> {
    let (id, name) = (block.need_text("id")?, block.need_text("name")?);
    let input = block.need("input")?;
    if !input.is_object() {
        return Err(block.refuse("input", "must be an object"));
    }
    block.leave_out(&["cache_control", "caller"], left_out);
    block.end()?;
    Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": input.to_string()}}))
}

fn tools(
    from: &mut Members<'_>,
    to: &mut Map<String, Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), ConvertError> {
    let at = At::ROOT.member("tools");
    let mut tools = Vec::new();
    for (index, value) in from.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        let at = at.index(index);
        let mut tool = at.object(value)?;
        tool.only("type", &["custom".into()])?;
        tool.only("defer_loading", &[false.into()])?;
        tool.only("allowed_callers", &[json!(["direct"])])?;
        tool.leave_out(HINTS, left_out);
        let mut function = Map::new();
        function.insert("name".into(), tool.need("name")?);
        tool.carry("description", &mut function, "description");
        function.insert("parameters".into(), tool.need("input_schema")?);
        tool.carry("strict", &mut function, "strict");
        tool.end()?;
        tools.push(json!({"type": "function", "function": function}));
    }
    if !tools.is_empty() {
        to.insert("tools".into(), tools.into());
    }
    let Some(choice) = from.take("tool_choice") else { return Ok(()) };
    let at = At::ROOT.member("tool_choice");
    let mut choice = at.object(choice)?;
    let there = match choice.need_text("type")?.as_str() {
        "auto" => "auto".into(),
        "none" => "none".into(),
        "any" => "required".into(),
        "tool" => json!({"type": "function", "function": {"name": choice.need("name")?}}),
        _ => return Err(choice.refuse("type", NO_PLACE)),
    };
    to.insert("tool_choice".into(), there);
    if choice.flag("disable_parallel_tool_use")? == Some(true) {
        to.insert("parallel_tool_calls".into(), false.into());
    }
    choice.end()
}

fn thinking_and_config(from: &mut Members<'_>, to: &mut Map<String, Value>) -> Result<(), ConvertError> {
    let mut effort = None;
    if let Some(thinking) = from.take("thinking") {
        let at = At::ROOT.member("thinking");
        let mut thinking = at.object(thinking)?;
        match thinking.need_text("type")?.as_str() {
            "disabled" => effort = Some("none".into()),
            // How much is the model's choice there too.
            "adaptive" => {}
            "enabled" => {
                let budget = thinking.need("budget_tokens")?.as_u64();
                let budget =
                    budget.ok_or_else(|| thinking.refuse("budget_tokens", "must be a whole number"))?;
                let nearest = EFFORTS.iter().find(|(below, _)| budget < *below);
                effort = Some(nearest.map_or("high", |(_, effort)| effort).into());
            }
            _ => return Err(thinking.refuse("type", NO_PLACE)),
        }
        thinking.only("display", &["summarized".into()])?;
        thinking.end()?;
    }
    if let Some(config) = from.take("output_config") {
        let at = At::ROOT.member("output_config");
        let mut config = at.object(config)?;
        effort = config.take("effort").or(effort);
        if let Some(format) = config.take("format") {
            let at = at.member("format");
            let mut format = at.object(format)?;
            format.only("type", &["json_schema".into()])?;
            let schema = json!({"name": "answer", "strict": true, "schema": format.need("schema")?});
            format.end()?;
            to.insert("response_format".into(), json!({"type": "json_schema", "json_schema": schema}));
        }
        config.end()?;
    }
    if let Some(effort) = effort {
        to.insert("reasoning_effort".into(), effort);
    }
    Ok(())
}
