use super::*;

fn provider(text: &str) -> Result<ProviderConfig, ConfigError> {
    ProviderConfig::parse(&Secret::new(text.to_owned()))
}

#[test]
fn a_provider_configuration_is_read_strictly() {
    let good = provider(
        r#"{"api":"openai-completions","apiKey":"sk-0123456789","baseUrl":"https://host:8443/v1/"}"#,
    )
    .unwrap();
    assert_eq!((good.base_url.as_str(), good.api_key.expose()), ("https://host:8443/v1", "sk-0123456789"));
    assert_eq!(good.to_json(), r#"{"api":"openai-completions","baseUrl":"https://host:8443/v1"}"#);
    for api in ProviderApi::ALL {
        let text = format!(r#"{{"api":"{}","apiKey":"k","baseUrl":"https://h"}}"#, api.as_str());
        assert_eq!(provider(&text).unwrap().api, api);
        assert!(ProviderApi::WORDS.contains(api.as_str()));
    }
    for (text, says) in [
        ("", "JSON object"),
        ("[]", "JSON object"),
        (r#"{"api":"openai-completions","apiKey":"sk-SECRET"}"#, "each a text"),
        (r#"{"api":"openai-completions","apiKey":7,"baseUrl":"https://h"}"#, "each a text"),
        (r#"{"api":"openai-completions","apiKey":"sk-SECRET","baseUrl":"https://h","x":1}"#, "only api"),
        (r#"{"api":"ollama","apiKey":"sk-SECRET","baseUrl":"https://h"}"#, "anthropic-messages"),
        (r#"{"api":"openai-completions","apiKey":"","baseUrl":"https://h"}"#, "printable"),
        (r#"{"api":"openai-completions","apiKey":"sk SECRET","baseUrl":"https://h"}"#, "printable"),
        (r#"{"api":"openai-completions","apiKey":"sk-SECRET","baseUrl":"https://u:p@h/v1"}"#, "credentials"),
    ] {
        let ConfigError(message) = provider(text).unwrap_err();
        assert!(message.contains(says) && !message.contains("SECRET"), "{text}: {message}");
    }
    assert!(
        provider(&format!(r#"{{"api":"{}"}}"#, "x".repeat(JSON_BYTES_MAX)))
            .unwrap_err()
            .0
            .contains("at most")
    );
}

#[test]
fn only_plain_web_addresses_are_base_urls() {
    for good in ["http://127.0.0.1:9/v1", "https://h", "http://[::1]:80/v1", "https://a_b.example.com/x%20y"]
    {
        assert_eq!(check_base_url(good).as_deref(), Ok(good));
    }
    for bad in [
        "",
        "h/v1",
        "ftp://h",
        "http://",
        "http:///v1",
        "https://h:0",
        "https://h:x",
        "https://h/v1?k=1",
        "https://h/#f",
        "https://a b",
        "https://h\n",
        "http://[::g]",
        "https://h\\@x",
        "https://\u{e9}",
        "http://::1/",
    ] {
        assert!(check_base_url(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_masked_key_shows_at_most_four_characters_of_its_end() {
    for (key, shown) in [
        ("sk-0123456789abcd", "sk-****abcd"),
        ("0123456789ab", "****89ab"),
        ("sk-45678901", "****"),
        ("k", "****"),
    ] {
        assert_eq!(mask_key(&Secret::new(key.into())), shown);
    }
}

#[test]
fn a_model_configuration_tells_its_traits() {
    let text = r#"{"id":"qwen","name":"Qwen","contextWindow":1000000,"maxTokens":65536,"input":["image","text"],
        "reasoning":true,"cost":{"input":0},"compat":{"supportsUsageInStreaming":true}}"#;
    let traits = ModelConfigText::parse(Some(text), "qwen").unwrap().traits();
    let expected = ModelTraits {
        context_window: Some(1_000_000),
        max_output_tokens: Some(65_536),
        input: vec!["image".into(), "text".into()],
        reasoning: true,
    };
    assert_eq!(traits, expected);
    let mut empty = ModelConfigText::parse(None, "qwen").unwrap();
    assert_eq!(empty.traits().input, ["text"]);
    empty.fill("maxTokens", Some(5));
    empty.fill("maxTokens", Some(6));
    empty.fill("contextWindow", None::<i64>);
    assert_eq!(empty.to_json(), r#"{"maxTokens":5}"#);
}

#[test]
fn a_malformed_model_configuration_is_refused() {
    for text in [
        "x",
        "[]",
        r#"{"id":"other"}"#,
        r#"{"id":5}"#,
        r#"{"name":""}"#,
        r#"{"contextWindow":0}"#,
        r#"{"contextWindow":"1"}"#,
        r#"{"maxTokens":-1}"#,
        r#"{"maxTokens":1.5}"#,
        r#"{"input":[]}"#,
        r#"{"input":["Text"]}"#,
        r#"{"input":"text"}"#,
        r#"{"reasoning":"yes"}"#,
        r#"{"cost":1}"#,
        r#"{"baseUrl":"http://elsewhere"}"#,
        r#"{"headers":{"Authorization":"x"}}"#,
    ] {
        assert!(ModelConfigText::parse(Some(text), "qwen").is_err(), "{text}");
    }
}

#[test]
fn the_default_model_is_written_in_the_form_of_the_agent() {
    let slashed = ModelRef { provider: "bailian".into(), code: "Qwen/Qwen3".into() };
    for agent in [GroupAgent::OpenClaw, GroupAgent::HermesAgent, GroupAgent::Common] {
        assert_eq!(parse_default(&show_default(agent, &slashed), agent), Ok(slashed.clone()));
    }
    let hermes = show_default(GroupAgent::HermesAgent, &slashed);
    assert_eq!(hermes, r#"{"model":{"provider":"bailian","default":"Qwen/Qwen3"}}"#);
    assert!(parse_default(&hermes, GroupAgent::OpenClaw).is_err());
    assert_eq!(parse_default(&hermes, GroupAgent::Common), Ok(slashed));
    for text in [
        "",
        "{}",
        r#"{"defaults":{}}"#,
        r#"{"defaults":{"model":{"primary":"noslash"}}}"#,
        r#"{"defaults":{"model":{"primary":"a/b","fallbacks":[]}}}"#,
        r#"{"defaults":{"model":{"primary":"a/b"}},"x":1}"#,
        r#"{"defaults":{"model":{"primary":7}}}"#,
    ] {
        assert!(parse_default(text, GroupAgent::OpenClaw).is_err(), "{text}");
    }
}
