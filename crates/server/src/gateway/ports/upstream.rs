//! Where providers answer: in which dialects, at which addresses, and with which key.

use std::sync::OnceLock;

use creel_control::model::ProviderApi;
use creel_llm::dialect::Dialect;
use creel_llm::request::OutputField;
use creel_wire::secret::Secret;
use http::Uri;
use http::header::{self, HeaderName, HeaderValue};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From the upstream.
    Sent {
        /// In which the upstream is asked.
        dialect: Dialect,
        /// Where.
        uri: Uri,
    },
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

/// A provider's addresses and its key.
#[derive(Debug)]
pub struct Upstream {
    places: Vec<(Dialect, Uri)>,
    /// The member that sets an output limit where a chat completion has none.
    pub output_field: OutputField,
    /// The real key; `None` for an upstream that wants none.
    pub key: Option<UpstreamKey>,
}

impl Upstream {
    /// From the provider's configuration. Base URLs are written as for its dialect's SDKs, such as `https://host/v1`
    /// for OpenAI's and `https://host` for Anthropic's, which may have the `/v1` too; a slash at the end is no matter.
    pub fn new(api: ProviderApi, base_url: &str, key: Option<UpstreamKey>) -> Result<Self, BadBaseUrl> {
        let base = base_url.trim_end_matches('/');
        let is_anthropic = api == ProviderApi::AnthropicMessages;
        let version = if is_anthropic && !base.ends_with("/v1") { "/v1" } else { "" };
        let mut places = Vec::new();
        let mut modern = false;
        for dialect in spoken(api) {
            let uri: Uri = format!("{base}{version}{}", dialect.path()).parse().map_err(|_| BadBaseUrl)?;
            if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.query().is_some() {
                return Err(BadBaseUrl);
            }
            let host = uri.host().ok_or(BadBaseUrl)?;
            // Only OpenAI itself refuses the older name, and only for its newer models.
            modern = host == "api.openai.com" || host.ends_with(".openai.azure.com");
            places.push((*dialect, uri));
        }
        let output_field = if modern { OutputField::MaxCompletionTokens } else { OutputField::MaxTokens };
        let scheme = if is_anthropic { Scheme::ApiKey } else { Scheme::Bearer };
        Ok(Self { places, output_field, key: key.map(|key| UpstreamKey { scheme, ..key }) })
    }

    /// How a request in `client` gets its answer; `None` where it cannot.
    pub fn way(&self, client: Dialect) -> Option<Way> {
        let same = self.places.iter().find(|(dialect, _)| *dialect == client);
        let place = same.or_else(|| self.places.iter().find(|(dialect, _)| client.converts_to(*dialect)));
        match place {
            Some((dialect, uri)) => Some(Way::Sent { dialect: *dialect, uri: uri.clone() }),
            // Counted is what could be asked.
            None if client == Dialect::CountTokens => self.way(Dialect::Messages).map(|_| Way::Counted),
            None => None,
        }
    }

    /// The header with the key; `Ok(None)` for an upstream that wants none.
    pub(crate) fn credentials(&self) -> Result<Option<(HeaderName, HeaderValue)>, NoKey> {
        self.key.as_ref().map(|key| Ok((key.scheme.name(), key.header().ok_or(NoKey)?))).transpose()
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
            let upstream = Upstream::new(api, base, None).expect("an address");
            let uri = upstream.way(asked).map(|way| match way {
                Way::Sent { uri, .. } => uri.to_string(),
                Way::Counted => "counted".to_owned(),
            });
            assert_eq!(uri.as_deref(), expect, "{api:?} {base} {asked:?}");
        }
        let upstream = Upstream::new(OpenAiCompletions, "https://h/v1", None).expect("an address");
        assert_eq!(upstream.way(Dialect::CountTokens), Some(Way::Counted));
        for base in ["ftp://h/v1", "h/v1", "https://h/v1?key=1", ""] {
            assert!(Upstream::new(OpenAiCompletions, base, None).is_err(), "{base}");
        }
    }

    #[test]
    fn keys_stand_where_the_dialect_has_them() {
        for (api, name, value) in [
            (ProviderApi::OpenAiCompletions, "authorization", "Bearer k"),
            (ProviderApi::AnthropicMessages, "x-api-key", "k"),
        ] {
            let key = UpstreamKey::clear(Secret::new("k".into()));
            let upstream = Upstream::new(api, "https://h", Some(key)).expect("an address");
            let (found, header) = upstream.credentials().expect("a key").expect("a key");
            assert_eq!((found.as_str(), header.to_str().ok()), (name, Some(value)));
            assert!(header.is_sensitive());
            assert_eq!(upstream.key.and_then(|key| key.with_clear(str::to_owned)).as_deref(), Some("k"));
        }
        let unfit = UpstreamKey::clear(Secret::new("a\nb".into()));
        let upstream =
            Upstream::new(ProviderApi::OpenAiResponses, "https://h", Some(unfit)).expect("an address");
        assert_eq!(upstream.credentials(), Err(NoKey));
    }
}
