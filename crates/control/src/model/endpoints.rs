//! The catalogue of known providers and where they answer: data in `endpoints.json`, which says how it was gathered.

use std::sync::LazyLock;

use serde::Deserialize;

/// The dialect that an endpoint speaks, in the catalogue's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum EndpointApi {
    #[serde(rename = "openai-compatible")]
    OpenAi,
    #[serde(rename = "anthropic-compatible")]
    Anthropic,
}

impl EndpointApi {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            EndpointApi::OpenAi => "openai-compatible",
            EndpointApi::Anthropic => "anthropic-compatible",
        }
    }
}

/// One address of a known provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownEndpoint {
    pub name: String,
    pub api: EndpointApi,
    pub base_url: String,
    pub description: String,
    pub tags: Vec<String>,
}

/// A known provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownProvider {
    /// As a Managed provider in a group is named.
    pub provider_name: String,
    pub description: String,
    /// Where keys and documents are to be had.
    pub provider_url: String,
    pub endpoints: Vec<KnownEndpoint>,
}

#[derive(Deserialize)]
struct Catalogue {
    providers: Vec<KnownProvider>,
}

static CATALOGUE: LazyLock<Vec<KnownProvider>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
    let catalogue: Catalogue = serde_json::from_str(include_str!("endpoints.json"))
        .expect("the catalogue of endpoints is well-formed");
    catalogue.providers
});

/// Every known provider, in the order of the catalogue.
pub fn known_providers() -> &'static [KnownProvider] {
    &CATALOGUE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::config::check_base_url;

    /// Every address is one that CreateModelProviderTemplate would take, and stands once.
    #[test]
    fn the_catalogue_holds_usable_addresses_once() {
        let (mut names, mut urls) = (HashSet::new(), HashSet::new());
        assert!(known_providers().len() >= 10);
        for provider in known_providers() {
            assert!(names.insert(&provider.provider_name), "{}", provider.provider_name);
            assert!(!provider.endpoints.is_empty() && !provider.description.is_empty(), "{provider:?}");
            assert!(
                !provider.provider_name.starts_with("provider-") && provider.provider_name != "wuying-credit"
            );
            for url in
                [&provider.provider_url].into_iter().chain(provider.endpoints.iter().map(|e| &e.base_url))
            {
                assert!(url.starts_with("https://"), "{url}");
                assert_eq!(check_base_url(url).as_ref(), Ok(url));
                let host = url.trim_start_matches("https://").split('/').next().unwrap_or_default();
                assert!(host.contains('.') && !host.contains(':') && host == host.to_lowercase(), "{url}");
            }
            let mut endpoint_names = HashSet::new();
            for endpoint in &provider.endpoints {
                assert!(urls.insert((endpoint.api, &endpoint.base_url)), "{}", endpoint.base_url);
                assert!(endpoint_names.insert(&endpoint.name), "{endpoint:?}");
                assert!(!endpoint.name.is_empty() && !endpoint.description.is_empty(), "{endpoint:?}");
            }
        }
    }
}
