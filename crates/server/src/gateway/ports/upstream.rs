//! Where providers answer: in which dialects, at which addresses, and with which keys.

use std::sync::{Arc, OnceLock};

use creel_control::model::ProviderApi;
use creel_llm::dialect::Dialect;
use creel_llm::request::OutputField;
use creel_wire::secret::Secret;
use http::Uri;
use http::header::{self, HeaderName, HeaderValue};

use crate::gateway::health::Health;
use crate::gateway::routing::TARGETS_MAX;

/// Anthropic's header for a key, of clients and to upstreams.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What an upstream of each kind answers to.
fn spoken(api: ProviderApi) -> &'static [Dialect] {
    match api {
        ProviderApi::OpenAiCompletions => &[Dialect::Chat, Dialect::Embeddings],
        ProviderApi::OpenAiResponses => &[Dialect::Responses, Dialect::Embeddings],
        ProviderApi::AnthropicMessages => &[Dialect::Messages, Dialect::CountTokens],
    }
}

/// How a request gets its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the upstream, which is asked in this dialect.
    Sent(Dialect),
    /// From here: a count of tokens for an upstream that cannot count.
    Counted,
}

/// A base URL that cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an http or https address")]
pub struct BadBaseUrl;

/// The key cannot be unsealed, or is not fit for a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's key cannot be had")]
pub struct NoKey;

/// An address of a provider with one of its keys. It is kept as long as neither changes, for it knows how it has fared.
#[derive(Debug)]
pub struct Target {
    /// As clients are told it: `provider/key@2`, without what there is only one of.
    pub(crate) name: HeaderValue,
    /// Tells keys of one provider apart; empty where there is one or none.
    pub(crate) key_name: String,
    /// Tells addresses of one provider apart.
    pub(crate) base_url: String,
    places: Vec<(Dialect, Uri)>,
    /// The real key; `None` for an upstream that wants none.
    pub(crate) key: Option<UpstreamKey>,
    pub(crate) health: Health,
}

impl Target {
    /// From the provider's configuration. Base URLs are written as for its dialect's SDKs, such as `https://host/v1`
    /// for OpenAI's and `https://host` for Anthropic's, which may have the `/v1` too; a slash at the end is no matter.
    /// `number` is that of the address, where the provider has several.
    pub fn new(
        provider: &str,
        api: ProviderApi,
        key_name: &str,
        number: Option<usize>,
        base_url: &str,
        key: Option<UpstreamKey>,
    ) -> Result<Self, BadBaseUrl> {
        let base = base_url.trim_end_matches('/');
        let is_anthropic = api == ProviderApi::AnthropicMessages;
        let version = if is_anthropic && !base.ends_with("/v1") { "/v1" } else { "" };
        let mut places = Vec::new();
        for dialect in spoken(api) {
            let uri: Uri = format!("{base}{version}{}", dialect.path()).parse().map_err(|_| BadBaseUrl)?;
            if !matches!(uri.scheme_str(), Some("http" | "https"))
                || uri.query().is_some()
                || uri.host().is_none()
            {
                return Err(BadBaseUrl);
            }
            places.push((*dialect, uri));
        }
        let mut name = provider.to_owned();
        if !key_name.is_empty() {
            name = format!("{name}/{key_name}");
        }
        if let Some(number) = number {
            name = format!("{name}@{number}");
        }
        let scheme = if is_anthropic { Scheme::ApiKey } else { Scheme::Bearer };
        Ok(Self {
            // The operator's providers may have any name in the configuration.
            name: HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("unnamed")),
            key_name: key_name.to_owned(),
            base_url: base.to_owned(),
            places,
            key: key.map(|key| UpstreamKey { scheme, ..key }),
            health: Health::default(),
        })
    }

    /// Where it is asked in this dialect.
    pub(crate) fn uri(&self, dialect: Dialect) -> Option<&Uri> {
        self.places.iter().find(|(spoken, _)| *spoken == dialect).map(|(_, uri)| uri)
    }

    /// The header with the key; `Ok(None)` for an upstream that wants none.
    pub(crate) fn credentials(&self) -> Result<Option<(HeaderName, HeaderValue)>, NoKey> {
        self.key.as_ref().map(|key| Ok((key.scheme.name(), key.header().ok_or(NoKey)?))).transpose()
    }

    /// Only OpenAI itself refuses the older name of the output limit, and only for its newer models.
    fn is_modern(&self) -> bool {
        let host = self.places.first().and_then(|(_, uri)| uri.host()).unwrap_or_default();
        host == "api.openai.com" || host.ends_with(".openai.azure.com")
    }
}

/// Where a provider's calls may go.
#[derive(Debug)]
pub struct Upstream {
    api: ProviderApi,
    targets: Vec<(Arc<Target>, u32)>,
    /// The member that sets an output limit where a chat completion has none.
    pub output_field: OutputField,
}

impl Upstream {
    /// Targets with their share of the calls, relative to each other; those above 64 are left out.
    pub fn new(api: ProviderApi, mut targets: Vec<(Arc<Target>, u32)>) -> Self {
        targets.truncate(TARGETS_MAX);
        let modern = targets.iter().any(|(target, _)| target.is_modern());
        let output_field = if modern { OutputField::MaxCompletionTokens } else { OutputField::MaxTokens };
        Self { api, targets, output_field }
    }

    pub(crate) fn targets(&self) -> &[(Arc<Target>, u32)] {
        &self.targets
    }

    /// How a request in `client` gets its answer; `None` where it cannot.
    pub fn way(&self, client: Dialect) -> Option<Way> {
        let spoken = spoken(self.api);
        let same = spoken.iter().find(|dialect| **dialect == client);
        let dialect = same.or_else(|| spoken.iter().find(|dialect| client.converts_to(**dialect)));
        match dialect {
            Some(dialect) => Some(Way::Sent(*dialect)),
            // Counted is what could be asked.
            None if client == Dialect::CountTokens => self.way(Dialect::Messages).map(|_| Way::Counted),
            None => None,
        }
    }
}

/// How a key stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// `Authorization: Bearer <key>`
    Bearer,
    /// `x-api-key: <key>`
    ApiKey,
}

impl Scheme {
    fn name(self) -> HeaderName {
        match self {
            Self::Bearer => header::AUTHORIZATION,
            Self::ApiKey => X_API_KEY,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer ",
            Self::ApiKey => "",
        }
    }
}

type Opener = Box<dyn Fn() -> Option<Secret> + Send + Sync>;

/// An upstream's key, unsealed when it is first needed and then kept in this process's memory only.
pub struct UpstreamKey {
    open: Opener,
    scheme: Scheme,
    header: OnceLock<HeaderValue>,
}

impl std::fmt::Debug for UpstreamKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[upstream key]")
    }
}

impl UpstreamKey {
    /// `open` unseals the key without I/O; `None` where it cannot.
    pub fn sealed(open: impl Fn() -> Option<Secret> + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), scheme: Scheme::Bearer, header: OnceLock::new() }
    }

    /// A key that is at hand in clear.
    pub fn clear(key: Secret) -> Self {
        Self::sealed(move || Some(key.clone()))
    }

    /// The header's value, marked as sensitive; `None` where the key cannot be had or is not fit for a header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        if let Some(header) = self.header.get() {
            return Some(header.clone());
        }
        let key = (self.open)()?;
        let mut header = HeaderValue::from_str(&format!("{}{}", self.scheme.prefix(), key.expose())).ok()?;
        header.set_sensitive(true);
        Some(self.header.get_or_init(|| header).clone())
    }

    /// Does something with the clear key, if it was used before.
    pub(crate) fn with_clear<T>(&self, f: impl FnOnce(&str) -> T) -> Option<T> {
        let header = self.header.get()?.to_str().ok()?;
        header.strip_prefix(self.scheme.prefix()).map(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_as_the_sdks_of_each_dialect_make_them() {
        use ProviderApi::{AnthropicMessages, OpenAiCompletions, OpenAiResponses};
        for (api, base, asked, expect) in [
            (OpenAiCompletions, "https://h/v1", Dialect::Chat, Some("https://h/v1/chat/completions")),
            (OpenAiCompletions, "http://h:1/", Dialect::Chat, Some("http://h:1/chat/completions")),
            (OpenAiCompletions, "https://h/v1", Dialect::Embeddings, Some("https://h/v1/embeddings")),
            (OpenAiCompletions, "https://h/v1", Dialect::Messages, Some("https://h/v1/chat/completions")),
            (OpenAiCompletions, "https://h/v1", Dialect::Responses, None),
            (OpenAiResponses, "https://h/v1", Dialect::Responses, Some("https://h/v1/responses")),
            (OpenAiResponses, "https://h/v1", Dialect::Embeddings, Some("https://h/v1/embeddings")),
            (OpenAiResponses, "https://h/v1", Dialect::Chat, None),
            (OpenAiResponses, "https://h/v1", Dialect::Messages, None),
            (OpenAiResponses, "https://h/v1", Dialect::CountTokens, None),
            (AnthropicMessages, "https://h", Dialect::Messages, Some("https://h/v1/messages")),
            (AnthropicMessages, "https://h/a/v1/", Dialect::Messages, Some("https://h/a/v1/messages")),
            (AnthropicMessages, "https://h/a", Dialect::Chat, Some("https://h/a/v1/messages")),
            (
                AnthropicMessages,
                "https://h",
                Dialect::CountTokens,
                Some("https://h/v1/messages/count_tokens"),
            ),
            (AnthropicMessages, "https://h", Dialect::Embeddings, None),
            (AnthropicMessages, "https://h", Dialect::Responses, None),
        ] {
            let target = Target::new("p", api, "", None, base, None).expect("an address");
            let target = Arc::new(target);
            let uri = match Upstream::new(api, vec![(target.clone(), 1)]).way(asked) {
                Some(Way::Sent(dialect)) => target.uri(dialect).map(Uri::to_string),
                Some(Way::Counted) => Some("counted".to_owned()),
                None => None,
            };
            assert_eq!(uri.as_deref(), expect, "{api:?} {base} {asked:?}");
        }
        let upstream = Upstream::new(OpenAiCompletions, Vec::new());
        assert_eq!(upstream.way(Dialect::CountTokens), Some(Way::Counted));
        for base in ["ftp://h/v1", "h/v1", "https://h/v1?key=1", ""] {
            assert!(Target::new("p", OpenAiCompletions, "", None, base, None).is_err(), "{base}");
        }
    }

    #[test]
    fn a_target_is_named_by_what_there_are_several_of() {
        for (key_name, number, expect) in
            [("", None, "p"), ("k", None, "p/k"), ("", Some(2), "p@2"), ("k", Some(1), "p/k@1")]
        {
            let api = ProviderApi::OpenAiCompletions;
            let target = Target::new("p", api, key_name, number, "https://h", None).expect("an address");
            assert_eq!(target.name, expect);
        }
    }

    #[test]
    fn only_openai_gets_the_newer_name_of_the_output_limit() {
        for (base_urls, expect) in [
            (&["https://h/v1"][..], OutputField::MaxTokens),
            (&["https://api.openai.com/v1"], OutputField::MaxCompletionTokens),
            (&["https://h/v1", "https://x.openai.azure.com/openai/v1"], OutputField::MaxCompletionTokens),
        ] {
            let api = ProviderApi::OpenAiCompletions;
            let target =
                |url: &&str| Arc::new(Target::new("p", api, "", None, url, None).expect("an address"));
            let upstream = Upstream::new(api, base_urls.iter().map(|url| (target(url), 1)).collect());
            assert_eq!(upstream.output_field, expect, "{base_urls:?}");
        }
    }

    #[test]
    fn keys_stand_where_the_dialect_has_them() {
        for (api, name, value) in [
            (ProviderApi::OpenAiCompletions, "authorization", "Bearer k"),
            (ProviderApi::AnthropicMessages, "x-api-key", "k"),
        ] {
            let key = UpstreamKey::clear(Secret::new("k".into()));
            let target = Target::new("p", api, "", None, "https://h", Some(key)).expect("an address");
            let (found, header) = target.credentials().expect("a key").expect("a key");
            assert_eq!((found.as_str(), header.to_str().ok()), (name, Some(value)));
            assert!(header.is_sensitive());
            assert_eq!(target.key.and_then(|key| key.with_clear(str::to_owned)).as_deref(), Some("k"));
        }
        let unfit = UpstreamKey::clear(Secret::new("a\nb".into()));
        let api = ProviderApi::OpenAiResponses;
        let target = Target::new("p", api, "", None, "https://h", Some(unfit)).expect("an address");
        assert_eq!(target.credentials(), Err(NoKey));
    }
}
