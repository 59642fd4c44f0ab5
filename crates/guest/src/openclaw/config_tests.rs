use creel_wire::guest::{AgentProvider, ModelRef};
use proptest::prelude::*;

use super::*;

fn model(code: &str) -> Model {
    Model {
        code: code.to_owned(),
        name: code.to_uppercase(),
        context_window: Some(128_000),
        max_output_tokens: Some(4_096),
        input: vec!["text".to_owned()],
        reasoning: false,
    }
}

fn provider(name: &str, endpoint: ProviderEndpoint, codes: &[&str]) -> ModelProvider {
    ModelProvider { name: name.to_owned(), endpoint, models: codes.iter().map(|code| model(code)).collect() }
}

fn gateway(api: &str) -> ProviderEndpoint {
    ProviderEndpoint::Gateway { api: api.to_owned() }
}

fn desired(models: Option<ModelConfig>) -> DesiredState {
    DesiredState { generation: 3, provider: AgentProvider::OpenClaw, models, skills: None }
}

fn rendered(desired: &DesiredState) -> Rendered {
    let context = RenderContext {
        paths: &AgentPaths::new("/run/creel/agent"),
        server_url: "http://127.0.0.1:8081",
        port: 18_901,
        gateway_token: &Secret::new("gateway-canary".to_owned()),
        virtual_key: &Secret::new("virtual-canary".to_owned()),
    };
    render(desired, &context)
}

fn check(desired: &DesiredState, golden: &str) {
    assert_eq!(String::from_utf8(rendered(desired).config).unwrap(), golden);
}

#[test]
fn without_a_model_group_no_model_is_allowed() {
    check(&desired(None), include_str!("testdata/no_models.json"));
}

#[test]
fn through_the_gateway_and_straight_to_a_provider() {
    let direct = ProviderEndpoint::Direct {
        api: "anthropic-messages".to_owned(),
        base_url: "https://models.example/v1".to_owned(),
        api_key: Secret::new("direct-canary".to_owned()),
    };
    let mut bare = model("m3");
    (bare.context_window, bare.max_output_tokens, bare.input) = (None, None, Vec::new());
    let mut second = provider("own", direct, &[]);
    second.models.push(bare);
    let models = ModelConfig {
        providers: vec![
            provider("bailian", gateway("openai-completions"), &["m1", "m2"]),
            provider("claude", gateway("anthropic-messages"), &["m4"]),
            second,
        ],
        default_model: Some(ModelRef { provider: "bailian".to_owned(), code: "m2".to_owned() }),
    };
    check(&desired(Some(models)), include_str!("testdata/two_providers.json"));
}

#[test]
fn a_default_that_is_not_there_gives_way_to_the_first_model() {
    let models = ModelConfig {
        providers: vec![
            provider("empty", gateway("openai-completions"), &[]),
            provider("a", gateway("openai-responses"), &["x", "y"]),
        ],
        default_model: Some(ModelRef { provider: "a".to_owned(), code: "gone".to_owned() }),
    };
    assert_eq!(rendered(&desired(Some(models))).expected.primary.as_deref(), Some("a/x"));
}

fn any_endpoint() -> impl Strategy<Value = ProviderEndpoint> {
    prop_oneof![
        "[a-z-]{1,20}".prop_map(|api| ProviderEndpoint::Gateway { api }),
        "[a-z0-9:/.]{1,20}".prop_map(|base_url| ProviderEndpoint::Direct {
            api: "openai-completions".to_owned(),
            base_url,
            api_key: Secret::new("direct-canary".to_owned()),
        }),
    ]
}

fn any_models() -> impl Strategy<Value = ModelConfig> {
    let provider = ("\\PC{1,12}", any_endpoint(), prop::collection::vec("\\PC{1,12}", 0..4)).prop_map(
        |(name, endpoint, codes)| {
            let codes: Vec<&str> = codes.iter().map(String::as_str).collect();
            provider(&name, endpoint, &codes)
        },
    );
    prop::collection::vec(provider, 0..4).prop_map(|providers| ModelConfig { providers, default_model: None })
}

proptest! {
    #[test]
    fn rendering_is_deterministic_and_holds_no_secret(models in any_models()) {
        let desired = desired(Some(models));
        let first = rendered(&desired);
        prop_assert_eq!(&first.config, &rendered(&desired).config);
        let text = String::from_utf8(first.config).unwrap();
        prop_assert!(!text.contains("canary"));
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&value["gateway"]["bind"], "loopback");
        // A secret's file is named exactly when the text refers to it.
        for (name, _) in &first.secrets {
            prop_assert!(is_secret_file(name) && text.contains(name.as_str()));
        }
    }

    #[test]
    fn a_new_key_is_a_new_configuration(one in "[a-z]{8,16}", two in "[a-z]{8,16}") {
        prop_assume!(one != two);
        let name = |key: &str| secret_file_name("virtual", &Secret::new(key.to_owned()));
        prop_assert_ne!(name(&one), name(&two));
    }
}
