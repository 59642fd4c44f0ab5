//! A chat completion request as a request for a message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::members::{At, ConvertError, Members, NO_PLACE};

/// Members that no answer depends on.
const HINTS: &[&str] =
    &["metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "store"];
/// Members that may stand at what Anthropic does anyway.
const DEFAULTS: &[(&str, &str)] = &[
    ("n", "[1]"),
    ("logprobs", "[false]"),
    ("top_logprobs", "[0]"),
    ("logit_bias", "[{}]"),
    ("presence_penalty", "[0, 0.0]"),
    ("frequency_penalty", "[0, 0.0]"),
    ("modalities", r#"[["text"]]"#),
    ("verbosity", r#"["medium"]"#),
    ("service_tier", r#"["auto", "default"]"#),
];

pub(super) fn request(
    map: Map<String, Value>,
    model: &str,
    output_tokens_max: u64,
    left_out: &mut Vec<&'static str>,
) -> Result<Value, ConvertError> {
    let mut from = Members::root(map);
    let mut to = Map::new();
    for name in ["model", "max_tokens", "max_completion_tokens"] {
        from.take(name);
    }
    to.insert("model".into(), model.into());
    to.insert("max_tokens".into(), output_tokens_max.into());
    from.carry("stream", &mut to, "stream");
    stream_options(&mut from, left_out)?;
    let list = from.need("messages")?;
    let at = At::ROOT.member("messages");
    let (system, messages) = messages(&at, at.list(list)?, left_out)?;
    if !system.is_empty() {
        to.insert("system".into(), system.into());
    }
    to.insert("messages".into(), messages.into());
    tools(&mut from, &mut to)?;
    format_and_effort(&mut from, &mut to, left_out)?;
    if let Some(temperature) = from.take("temperature") {
        if temperature.as_f64().is_none_or(|temperature| temperature > 1.0) {
            return Err(from.refuse("temperature", "must be at most 1 for this model's provider"));
        }
        to.insert("temperature".into(), temperature);
    }
    for name in ["top_p", "top_k"] {
        from.carry(name, &mut to, name);
    }
    match from.take("stop") {
        Some(Value::String(stop)) => _ = to.insert("stop_sequences".into(), json!([stop])),
        Some(stops @ Value::Array(_)) => _ = to.insert("stop_sequences".into(), stops),
        Some(_) => return Err(from.refuse("stop", "must be a text or a list of texts")),
        None => {}
    }
    let (user, safety) = (from.text("user")?, from.text("safety_identifier")?);
    if user.is_some() && safety.is_some() {
        left_out.push("user");
    }
    if let Some(user) = safety.or(user) {
        to.insert("metadata".into(), json!({"user_id": user}));
    }
    from.leave_out(HINTS, left_out);
    for (name, same) in DEFAULTS {
        from.only(name, &serde_json::from_str::<Vec<Value>>(same).unwrap_or_default())?;
    }
    from.end()?;
    Ok(Value::Object(to))
}

fn stream_options(from: &mut Members<'_>, left_out: &mut Vec<&'static str>) -> Result<(), ConvertError> {
    let Some(options) = from.take("stream_options") else { return Ok(()) };
    let at = At::ROOT.member("stream_options");
    let mut options = at.object(options)?;
    // The usage always stands in a stream of messages; what the client gets of it is decided on the way back.
    options.take("include_usage");
    options.leave_out(&["include_obfuscation"], left_out);
    options.end()
}

/// The system's words at the beginning, and the turns.
fn messages(
    at: &At<'_>,
    list: Vec<Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(Vec<Value>, Vec<Value>), ConvertError> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    // Results of tools that were called together must stand together.
    let mut results: Vec<Value> = Vec::new();
    let last = list.len().saturating_sub(1);
    for (index, message) in list.into_iter().enumerate() {
        let at = at.index(index);
        let mut message = at.object(message)?;
        let role = message.need_text("role")?;
        if role != "tool" && !results.is_empty() {
            turns.push(json!({"role": "user", "content": std::mem::take(&mut results)}));
        }
        message.only("name", &[])?;
        match role.as_str() {
            "system" | "developer" => {
                let content = content(&mut message, Part::Text)?;
                if turns.is_empty() {
                    system.extend(content);
                } else {
                    turns.push(json!({"role": "system", "content": content}));
                }
            }
            "user" => turns.push(json!({"role": "user", "content": content(&mut message, Part::User)?})),
            "assistant" if index == last => {
                let why =
                    "is the assistant's, which this model's provider would continue instead of answering";
                return Err(at.refuse(why));
            }
            "assistant" => {
                turns.push(json!({"role": "assistant", "content": assistant(&mut message, left_out)?}));
            }
            "tool" => {
                let id = message.need_text("tool_call_id")?;
                let content = content(&mut message, Part::Text)?;
                let mut result = json!({"type": "tool_result", "tool_use_id": tool_id(&id)});
                if let Some(result) = result.as_object_mut().filter(|_| !content.is_empty()) {
                    result.insert("content".into(), content.into());
                }
                results.push(result);
            }
            _ => return Err(message.refuse("role", NO_PLACE)),
        }
        message.end()?;
    }
    if !results.is_empty() {
        turns.push(json!({"role": "user", "content": results}));
    }
    Ok((system, turns))
}

/// Which parts a message may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    /// Texts, and what a model refused to say.
    Assistant,
    User,
}

/// The content of a message as blocks.
fn content(message: &mut Members<'_>, allowed: Part) -> Result<Vec<Value>, ConvertError> {
    let value = message.need("content")?;
    blocks(&message.at.member("content"), value, allowed)
}

/// Without empty texts, which say nothing and which Anthropic refuses.
fn blocks(at: &At<'_>, value: Value, allowed: Part) -> Result<Vec<Value>, ConvertError> {
    let parts = match value {
        Value::String(text) if text.is_empty() => return Ok(Vec::new()),
        Value::String(text) => return Ok(vec![json!({"type": "text", "text": text})]),
        Value::Array(parts) => parts,
        _ => return Err(at.refuse("must be a text or a list of parts")),
    };
    let mut blocks = Vec::with_capacity(parts.len());
    for (index, value) in parts.into_iter().enumerate() {
        let block = part(&at.index(index), value, allowed)?;
        if block.get("text") != Some(&"".into()) {
            blocks.push(block);
        }
    }
    Ok(blocks)
}

fn part(at: &At<'_>, value: Value, allowed: Part) -> Result<Value, ConvertError> {
    let mut part = at.object(value)?;
    let kind = part.need_text("type")?;
    let block = match (kind.as_str(), allowed) {
        ("text", _) => json!({"type": "text", "text": part.need_text("text")?}),
        ("refusal", Part::Assistant) => json!({"type": "text", "text": part.need_text("refusal")?}),
        ("image_url", Part::User) => {
            let value = part.need("image_url")?;
            let at = at.member("image_url");
            let mut image = at.object(value)?;
            let url = image.need_text("url")?;
            // Anthropic always looks at the whole picture.
            image.only("detail", &["auto".into(), "high".into()])?;
            image.end()?;
            json!({"type": "image", "source": image_source(&at, url)?})
        }
        ("file", Part::User) => {
            let value = part.need("file")?;
            file(&at.member("file"), value)?
        }
        _ => return Err(part.refuse("type", NO_PLACE)),
    };
    part.end()?;
    Ok(block)
}

fn image_source(at: &At<'_>, url: String) -> Result<Value, ConvertError> {
    if let Some((media_type, data)) = data_url(&url) {
        return Ok(json!({"type": "base64", "media_type": media_type, "data": data}));
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(json!({"type": "url", "url": url}));
    }
    Err(at.member("url").refuse("must be an http address or a data URL in base64"))
}

/// Media type and base64 of `data:<type>;base64,<data>`.
fn data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    Some((head.strip_suffix(";base64")?, data))
}

fn file(at: &At<'_>, value: Value) -> Result<Value, ConvertError> {
    let mut file = at.object(value)?;
    let data = file.need_text("file_data")?;
    let source = match data_url(&data) {
        Some(("application/pdf", data)) => {
            json!({"type": "base64", "media_type": "application/pdf", "data": data})
        }
        Some(("text/plain", data)) => {
            let text = STANDARD.decode(data).ok().and_then(|text| String::from_utf8(text).ok());
            let text = text.ok_or_else(|| file.refuse("file_data", "must be UTF-8 in base64"))?;
            json!({"type": "text", "media_type": "text/plain", "data": text})
        }
        _ => {
            let why = "must be a data URL of application/pdf or text/plain for this model's provider";
            return Err(file.refuse("file_data", why));
        }
    };
    let mut block = json!({"type": "document", "source": source});
    if let (Some(name), Some(block)) = (file.text("filename")?, block.as_object_mut()) {
        block.insert("title".into(), name.into());
    }
    file.end()?;
    Ok(block)
}

fn assistant(
    message: &mut Members<'_>,
    left_out: &mut Vec<&'static str>,
) -> Result<Vec<Value>, ConvertError> {
    // Blocks that were signed by an Anthropic model go back as they were given. Thinking without a signature is
    // accepted by none.
    let at = message.at.member("thinking_blocks");
    let mut blocks = message.list("thinking_blocks")?.unwrap_or_default();
    let is_thinking =
        |kind: Option<&Value>| matches!(kind.and_then(Value::as_str), Some("thinking" | "redacted_thinking"));
    if let Some(index) = blocks.iter().position(|block| !is_thinking(block.get("type"))) {
        return Err(at.index(index).member("type").refuse("must be thinking or redacted_thinking"));
    }
    for name in ["reasoning", "reasoning_content"] {
        if message.take(name).is_some() && blocks.is_empty() {
            left_out.push(name);
        }
    }
    message.leave_out(&["annotations"], left_out);
    if let Some(value) = message.take("content") {
        blocks.extend(self::blocks(&message.at.member("content"), value, Part::Assistant)?);
    }
    if let Some(refusal) = message.text("refusal")? {
        blocks.push(json!({"type": "text", "text": refusal}));
    }
    let at = message.at.member("tool_calls");
    for (index, call) in message.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        blocks.push(tool_use(&at.index(index), call)?);
    }
    if blocks.is_empty() {
        return Err(message.refuse("content", "is required"));
    }
    Ok(blocks)
}

fn tool_use(at: &At<'_>, call: Value) -> Result<Value, ConvertError> {
    let mut call = at.object(call)?;
    call.only("type", &["function".into()])?;
    call.take("index");
    let id = call.need_text("id")?;
    let function = call.need("function")?;
    call.end()?;
    let at = at.member("function");
    let mut function = at.object(function)?;
    let (name, arguments) = (function.need_text("name")?, function.need_text("arguments")?);
    let input = tool_input(&arguments)
        .ok_or_else(|| function.refuse("arguments", "must be the text of a JSON object"))?;
    function.end()?;
    Ok(json!({"type": "tool_use", "id": tool_id(&id), "name": name, "input": input}))
}

/// The id of a call with letters that Anthropic takes; some upstreams write `functions.name:0`.
fn tool_id(id: &str) -> String {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.chars().map(|c| if is_taken(c) { c } else { '_' }).collect()
}

/// Arguments of a tool as an object; an empty text, as some models write it, is one without members.
pub(super) fn tool_input(arguments: &str) -> Option<Value> {
    if arguments.trim().is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str::<Map<String, Value>>(arguments).ok().map(Value::Object)
}

fn tools(from: &mut Members<'_>, to: &mut Map<String, Value>) -> Result<(), ConvertError> {
    let at = At::ROOT.member("tools");
    let mut tools = Vec::new();
    for (index, value) in from.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        let at = at.index(index);
        let mut tool = at.object(value)?;
        tool.only("type", &["function".into()])?;
        let function = tool.need("function")?;
        tool.end()?;
        let at = at.member("function");
        let mut function = at.object(function)?;
        let mut there = Map::new();
        there.insert("name".into(), function.need("name")?);
        function.carry("description", &mut there, "description");
        function.carry("strict", &mut there, "strict");
        let schema = function.take("parameters");
        let schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        there.insert("input_schema".into(), schema);
        function.end()?;
        tools.push(Value::Object(there));
    }
    let has_tools = !tools.is_empty();
    if has_tools {
        to.insert("tools".into(), tools.into());
    }
    let mut choice = match from.take("tool_choice") {
        None => None,
        Some(Value::String(choice)) => Some(match choice.as_str() {
            "auto" => json!({"type": "auto"}),
            "none" => json!({"type": "none"}),
            "required" => json!({"type": "any"}),
            _ => return Err(from.refuse("tool_choice", NO_PLACE)),
        }),
        Some(value) => {
            let at = At::ROOT.member("tool_choice");
            let mut choice = at.object(value)?;
            if choice.need_text("type")? != "function" {
                return Err(choice.refuse("type", NO_PLACE));
            }
            let function = choice.need("function")?;
            choice.end()?;
            let at = at.member("function");
            let mut function = at.object(function)?;
            let name = function.need_text("name")?;
            function.end()?;
            Some(json!({"type": "tool", "name": name}))
        }
    };
    // Without tools there is nothing that could be called side by side.
    if from.flag("parallel_tool_calls")? == Some(false) && has_tools {
        let choice = choice.get_or_insert_with(|| json!({"type": "auto"}));
        let is_none = choice.get("type") == Some(&"none".into());
        if let Some(choice) = choice.as_object_mut().filter(|_| !is_none) {
            choice.insert("disable_parallel_tool_use".into(), true.into());
        }
    }
    if let Some(choice) = choice.filter(|_| has_tools) {
        to.insert("tool_choice".into(), choice);
    }
    Ok(())
}

fn format_and_effort(
    from: &mut Members<'_>,
    to: &mut Map<String, Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), ConvertError> {
    let mut config = Map::new();
    match from.text("reasoning_effort")?.as_deref() {
        None => {}
        Some("none") => _ = to.insert("thinking".into(), json!({"type": "disabled"})),
        Some(effort) => {
            let effort = if effort == "minimal" { "low" } else { effort };
            to.insert("thinking".into(), json!({"type": "adaptive"}));
            config.insert("effort".into(), effort.into());
        }
    }
    if let Some(format) = from.take("response_format") {
        let at = At::ROOT.member("response_format");
        let mut format = at.object(format)?;
        match format.need_text("type")?.as_str() {
            "text" => {}
            "json_schema" => {
                let schema = format.need("json_schema")?;
                let at = at.member("json_schema");
                let mut schema = at.object(schema)?;
                // Anthropic always keeps to the schema, and does not name it.
                schema.take("strict");
                schema.leave_out(&["description"], left_out);
                schema.take("name");
                let there = json!({"type": "json_schema", "schema": schema.need("schema")?});
                schema.end()?;
                config.insert("format".into(), there);
            }
            _ => return Err(format.refuse("type", "must be text or json_schema for this model's provider")),
        }
        format.end()?;
    }
    if !config.is_empty() {
        to.insert("output_config".into(), Value::Object(config));
    }
    Ok(())
}
