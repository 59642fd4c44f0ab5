//! What becomes of each member that a request may have where it is converted. Every top-level member that the
//! official SDKs know stands here, and whatever else is treated on its own; `docs/dialects.md` tells the same in words.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    reason = "a test may panic, helpers of tests too"
)]

use creel_llm::dialect::Dialect;
use creel_llm::request::{OutputField, Request, Rewrite};
use serde_json::{Value, json};

/// What becomes of a member.
enum Fate {
    /// Stands there as this value at this place.
    Carried(&'static str, Value),
    /// Left out, and named.
    LeftOut(&'static str),
    /// Gone without a trace, for it says what holds there anyway.
    Same,
    /// Refused at this place.
    Refused(&'static str),
}
use Fate::{Carried, LeftOut, Refused, Same};

#[track_caller]
fn check(from: Dialect, to: Dialect, base: &Value, members: Value, fate: Fate) {
    let convert = |value: &Value| {
        let body = value.to_string();
        let request = Request::read(from, body.as_bytes()).expect("a request");
        let rewrite = Rewrite { model: "m", output_tokens_max: None, output_field: OutputField::MaxTokens };
        let sent = request.for_upstream(body.as_bytes(), to, &rewrite)?;
        let there: Value = serde_json::from_slice(&sent.body.expect("converted")).expect("json");
        Ok::<_, creel_llm::convert::ConvertError>((there, sent.left_out))
    };
    let mut with = base.clone();
    for (name, value) in members.as_object().expect("members") {
        with[name] = value.clone();
    }
    let (plain, _) = convert(base).expect("the base is convertible");
    let (there, left_out) = match (convert(&with), &fate) {
        (Err(error), Refused(at)) => {
            assert_eq!(error.param(), Some(*at), "{members}: {error}");
            return;
        }
        (Err(error), _) => panic!("{members}: {error}"),
        (Ok((there, _)), Refused(at)) => panic!("{members}: should be refused at {at}, became {there}"),
        (Ok(converted), _) => converted,
    };
    match fate {
        Carried(place, value) => {
            assert_eq!(there.pointer(place), Some(&value), "{members}: {there}");
            assert!(left_out.is_empty(), "{members}: {left_out:?}");
        }
        LeftOut(name) => assert_eq!((&there, left_out.as_slice()), (&plain, &[name][..]), "{members}"),
        Same => assert_eq!((&there, left_out.len()), (&plain, 0), "{members}"),
        Refused(_) => unreachable!("handled above"),
    }
}

fn user_parts(part: Value) -> Value {
    json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]})
}

fn turns(turn: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "a"}, turn, {"role": "user", "content": "b"}]})
}

fn function(members: Value) -> Value {
    let mut function = json!({"name": "f", "parameters": {"type": "object"}});
    for (name, value) in members.as_object().expect("members") {
        function[name] = value.clone();
    }
    json!({"tools": [{"type": "function", "function": function}]})
}

#[test]
fn members_of_a_chat_completion() {
    let base = json!({"model": "x", "max_tokens": 64, "messages": [{"role": "user", "content": "a"}]});
    let plain_tool = json!({"type": "function", "function": {"name": "f"}});
    let format = |format: Value| json!({"response_format": format});
    let call = |arguments: &str| {
        json!({"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]})
    };
    for (members, fate) in [
        (json!({"max_tokens": 9}), Carried("/max_tokens", json!(9))),
        (json!({"max_completion_tokens": 9}), Carried("/max_tokens", json!(9))),
        (json!({"max_tokens": null}), Carried("/max_tokens", json!(32_768))),
        (json!({"stream": true}), Carried("/stream", json!(true))),
        (json!({"stream_options": {"include_usage": true}}), Same),
        (json!({"stream_options": {"include_obfuscation": false}}), LeftOut("include_obfuscation")),
        (json!({"stream_options": {"x": 1}}), Refused("stream_options.x")),
        (json!({"temperature": 1.0}), Carried("/temperature", json!(1.0))),
        (json!({"temperature": 1.7}), Refused("temperature")),
        (json!({"top_p": 0.5}), Carried("/top_p", json!(0.5))),
        (json!({"top_k": 5}), Carried("/top_k", json!(5))),
        (json!({"stop": "a"}), Carried("/stop_sequences", json!(["a"]))),
        (json!({"stop": ["a", "b"]}), Carried("/stop_sequences", json!(["a", "b"]))),
        (json!({"stop": 7}), Refused("stop")),
        (json!({"user": "u"}), Carried("/metadata/user_id", json!("u"))),
        (json!({"safety_identifier": "u"}), Carried("/metadata/user_id", json!("u"))),
        (json!({"reasoning_effort": "xhigh"}), Carried("/output_config/effort", json!("xhigh"))),
        (json!({"reasoning_effort": "minimal"}), Carried("/output_config/effort", json!("low"))),
        (json!({"reasoning_effort": "none"}), Carried("/thinking/type", json!("disabled"))),
        (json!({"metadata": {"a": "b"}}), LeftOut("metadata")),
        (json!({"store": true}), LeftOut("store")),
        (json!({"prompt_cache_key": "k"}), LeftOut("prompt_cache_key")),
        (json!({"prompt_cache_options": {}}), LeftOut("prompt_cache_options")),
        (json!({"prompt_cache_retention": "24h"}), LeftOut("prompt_cache_retention")),
        (json!({"n": 1}), Same),
        (json!({"n": 2}), Refused("n")),
        (json!({"logprobs": false, "top_logprobs": 0}), Same),
        (json!({"logprobs": true}), Refused("logprobs")),
        (json!({"logit_bias": {}}), Same),
        (json!({"logit_bias": {"1": 2}}), Refused("logit_bias")),
        (json!({"presence_penalty": 0, "frequency_penalty": 0.0}), Same),
        (json!({"presence_penalty": 0.5}), Refused("presence_penalty")),
        (json!({"frequency_penalty": 0.5}), Refused("frequency_penalty")),
        (json!({"modalities": ["text"]}), Same),
        (json!({"modalities": ["text", "audio"]}), Refused("modalities")),
        (json!({"verbosity": "medium"}), Same),
        (json!({"verbosity": "low"}), Refused("verbosity")),
        (json!({"service_tier": "auto"}), Same),
        (json!({"service_tier": "flex"}), Refused("service_tier")),
        (json!({"seed": 1}), Refused("seed")),
        (json!({"audio": {"voice": "x"}}), Refused("audio")),
        (json!({"prediction": {}}), Refused("prediction")),
        (json!({"moderation": {}}), Refused("moderation")),
        (json!({"web_search_options": {}}), Refused("web_search_options")),
        (json!({"functions": []}), Refused("functions")),
        (json!({"function_call": "auto"}), Refused("function_call")),
        (json!({"never_seen": 1}), Refused("never_seen")),
        (json!({"never_seen": null}), Same),
        (json!({"response_format": {"type": "text"}}), Same),
        (format(json!({"type": "json_object"})), Refused("response_format.type")),
        (
            format(
                json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"a": 1}}}),
            ),
            Carried("/output_config/format/schema/a", json!(1)),
        ),
        (
            format(json!({"type": "json_schema", "json_schema": {"name": "n"}})),
            Refused("response_format.json_schema.schema"),
        ),
        (function(json!({"strict": true})), Carried("/tools/0/strict", json!(true))),
        (function(json!({"description": "d"})), Carried("/tools/0/description", json!("d"))),
        (function(json!({"new": 1})), Refused("tools[0].function.new")),
        (json!({"tools": [{"type": "custom", "custom": {"name": "c"}}]}), Refused("tools[0].type")),
        (json!({"tools": [plain_tool], "tool_choice": "none"}), Carried("/tool_choice/type", json!("none"))),
        (
            json!({"tools": [plain_tool], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
            Carried("/tool_choice/name", json!("f")),
        ),
        (
            json!({"tools": [plain_tool], "tool_choice": {"type": "allowed_tools"}}),
            Refused("tool_choice.type"),
        ),
        (
            json!({"tools": [plain_tool], "parallel_tool_calls": false}),
            Carried("/tool_choice", json!({"type": "auto", "disable_parallel_tool_use": true})),
        ),
        (json!({"parallel_tool_calls": false}), Same),
        (
            user_parts(json!({"type": "input_audio", "input_audio": {}})),
            Refused("messages[0].content[1].type"),
        ),
        (
            user_parts(json!({"type": "image_url", "image_url": {"url": "https://a/b", "detail": "low"}})),
            Refused("messages[0].content[1].image_url.detail"),
        ),
        (
            user_parts(json!({"type": "image_url", "image_url": {"url": "ftp://a/b"}})),
            Refused("messages[0].content[1].image_url.url"),
        ),
        (
            user_parts(json!({"type": "file", "file": {"file_id": "f"}})),
            Refused("messages[0].content[1].file.file_data"),
        ),
        (
            user_parts(json!({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}})),
            Refused("messages[0].content[1].file.file_data"),
        ),
        (json!({"messages": [{"role": "user", "name": "bob", "content": "a"}]}), Refused("messages[0].name")),
        (json!({"messages": [{"role": "function", "content": "a"}]}), Refused("messages[0].role")),
        (json!({"messages": [{"role": "user"}]}), Refused("messages[0].content")),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), Refused("messages[0]")),
        (
            turns(json!({"role": "assistant", "content": "x", "audio": {"id": "a"}})),
            Refused("messages[1].audio"),
        ),
        (turns(json!({"role": "assistant", "content": null})), Refused("messages[1].content")),
        (
            turns(json!({"role": "assistant", "refusal": "no", "content": null})),
            Carried("/messages/1/content/0/text", json!("no")),
        ),
        (
            turns(
                json!({"role": "assistant", "content": "x", "thinking_blocks": [{"type": "text", "text": "x"}]}),
            ),
            Refused("messages[1].thinking_blocks[0].type"),
        ),
        (turns(call(r#"{"a":1}"#)), Carried("/messages/1/content/0/input/a", json!(1))),
        (turns(call("{broken")), Refused("messages[1].tool_calls[0].function.arguments")),
        (turns(call("[1]")), Refused("messages[1].tool_calls[0].function.arguments")),
    ] {
        check(Dialect::Chat, Dialect::Messages, &base, members, fate);
    }
    // What a model thought and nobody signed is of no use to the next one.
    let thought = turns(json!({"role": "assistant", "content": "x", "reasoning_content": "y"}));
    let mut base = base.clone();
    base["messages"] = turns(json!({"role": "assistant", "content": "x"}))["messages"].clone();
    check(Dialect::Chat, Dialect::Messages, &base, thought, LeftOut("reasoning_content"));
}

#[test]
fn members_of_a_message() {
    let base = json!({"model": "x", "max_tokens": 64, "messages": [{"role": "user", "content": "a"}]});
    let tool = |members: Value| {
        let mut tool = json!({"name": "f", "input_schema": {"type": "object"}});
        for (name, value) in members.as_object().expect("members") {
            tool[name] = value.clone();
        }
        json!({"tools": [tool]})
    };
    let source = |source: Value| json!({"type": "document", "source": source});
    let result = |members: Value| {
        let mut result = json!({"type": "tool_result", "tool_use_id": "t"});
        for (name, value) in members.as_object().expect("members") {
            result[name] = value.clone();
        }
        json!({"messages": [{"role": "user", "content": [result]}]})
    };
    for (members, fate) in [
        (json!({"max_tokens": 9}), Carried("/max_tokens", json!(9))),
        (json!({"max_tokens": null}), Refused("max_tokens")),
        (json!({"stream": true}), Carried("/stream_options/include_usage", json!(true))),
        (json!({"temperature": 0.5}), Carried("/temperature", json!(0.5))),
        (json!({"top_p": 0.5}), Carried("/top_p", json!(0.5))),
        (json!({"top_k": 5}), Refused("top_k")),
        (json!({"system": "s"}), Carried("/messages/0", json!({"role": "system", "content": "s"}))),
        (json!({"system": [{"type": "image"}]}), Refused("system[0].type")),
        (json!({"stop_sequences": ["a"]}), Carried("/stop", json!(["a"]))),
        (json!({"stop_sequences": []}), Same),
        (json!({"stop_sequences": ["a", "b", "c", "d", "e"]}), Refused("stop_sequences")),
        (json!({"metadata": {"user_id": "u"}}), Carried("/user", json!("u"))),
        (json!({"metadata": {"x": 1}}), Refused("metadata.x")),
        (json!({"thinking": {"type": "disabled"}}), Carried("/reasoning_effort", json!("none"))),
        (json!({"thinking": {"type": "adaptive"}}), Same),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2_000}}),
            Carried("/reasoning_effort", json!("low")),
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 30_000}}),
            Carried("/reasoning_effort", json!("high")),
        ),
        (json!({"thinking": {"type": "enabled"}}), Refused("thinking.budget_tokens")),
        (json!({"thinking": {"type": "between_tools"}}), Refused("thinking.type")),
        (json!({"thinking": {"type": "adaptive", "display": "omitted"}}), Refused("thinking.display")),
        (json!({"output_config": {"effort": "max"}}), Carried("/reasoning_effort", json!("max"))),
        (json!({"output_config": {"x": 1}}), Refused("output_config.x")),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}}),
            Carried("/response_format/json_schema/schema/a", json!(1)),
        ),
        (json!({"cache_control": {"type": "ephemeral"}}), LeftOut("cache_control")),
        (json!({"diagnostics": {}}), LeftOut("diagnostics")),
        (json!({"service_tier": "standard_only"}), Same),
        (json!({"speed": "standard"}), Same),
        (json!({"speed": "fast"}), Refused("speed")),
        (json!({"container": "c"}), Refused("container")),
        (json!({"inference_geo": "eu"}), Refused("inference_geo")),
        (json!({"user_profile_id": "u"}), Refused("user_profile_id")),
        (json!({"workspace_id": "w"}), Refused("workspace_id")),
        (json!({"mcp_servers": []}), Refused("mcp_servers")),
        (json!({"context_management": {}}), Refused("context_management")),
        (json!({"never_seen": 1}), Refused("never_seen")),
        (tool(json!({"strict": true})), Carried("/tools/0/function/strict", json!(true))),
        (
            tool(json!({"type": "custom", "defer_loading": false})),
            Carried("/tools/0/function/name", json!("f")),
        ),
        (tool(json!({"defer_loading": true})), Refused("tools[0].defer_loading")),
        (tool(json!({"input_examples": []})), Refused("tools[0].input_examples")),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), Refused("tools[0].type")),
        (
            json!({"tool_choice": {"type": "tool", "name": "f"}}),
            Carried("/tool_choice/function/name", json!("f")),
        ),
        (
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            Carried("/parallel_tool_calls", json!(false)),
        ),
        (
            user_parts(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})),
            Refused("messages[0].content[1].source.type"),
        ),
        (
            user_parts(source(json!({"type": "url", "url": "https://a/b.pdf"}))),
            Refused("messages[0].content[1].source.type"),
        ),
        (
            user_parts(
                json!({"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": true}}),
            ),
            Refused("messages[0].content[1].citations"),
        ),
        (
            user_parts(json!({"type": "document", "source": {"type": "text", "data": "x"}, "context": "c"})),
            Refused("messages[0].content[1].context"),
        ),
        (user_parts(json!({"type": "search_result"})), Refused("messages[0].content[1].type")),
        (
            result(json!({})),
            Carried("/messages/0", json!({"role": "tool", "tool_call_id": "t", "content": ""})),
        ),
        (
            result(
                json!({"is_error": true, "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
            ),
            Carried("/messages/0/content/0/text", json!("Error:")),
        ),
        (
            result(json!({"content": [{"type": "image", "source": {"type": "url", "url": "https://a/b"}}]})),
            Refused("messages[0].content[0].content[0].type"),
        ),
        (user_parts(json!({"type": "tool_result", "tool_use_id": "t"})), Refused("messages[0].content[1]")),
        (json!({"messages": [{"role": "assistant", "content": "a"}]}), Refused("messages[0]")),
        (json!({"messages": [{"role": "tool", "content": "a"}]}), Refused("messages[0].role")),
        (
            turns(json!({"role": "system", "content": "s"})),
            Carried("/messages/1", json!({"role": "system", "content": "s"})),
        ),
        (
            turns(json!({"role": "assistant", "content": [{"type": "server_tool_use"}]})),
            Refused("messages[1].content[0].type"),
        ),
        (
            turns(
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": 1}]}),
            ),
            Refused("messages[1].content[0].input"),
        ),
        (
            turns(
                json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}, {"type": "text", "text": "x"}]}),
            ),
            Carried("/messages/1", json!({"role": "assistant", "content": "x", "reasoning_content": "t"})),
        ),
    ] {
        check(Dialect::Messages, Dialect::Chat, &base, members, fate);
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let body = br#"{"model":"m","seed":1,"messages":[{"role":"user","content":"a"}]}"#;
    let request = Request::read(Dialect::Chat, body).expect("a request");
    let rewrite = Rewrite { model: "m", output_tokens_max: None, output_field: OutputField::MaxTokens };
    let error = request.for_upstream(body, Dialect::Messages, &rewrite).expect_err("refused");
    let expect =
        "seed cannot be said in the dialect of this model's provider: remove it or use another model";
    assert_eq!(error.to_string(), expect);
}
