//! What callers may ask for, in which dialect, and with which key. What is not in here does not exist.

use creel_llm::dialect::Dialect;
use http::Method;
use http::header::{self, HeaderMap};

use super::ports::X_API_KEY;

/// Tells which of its forms a client of Anthropic's expects.
pub(super) const ANTHROPIC_VERSION: &str = "anthropic-version";

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// A model answers a request in this dialect.
    Ask(Dialect),
    /// The models that the key opens.
    Models,
    /// One of them; its name as it stands in the path.
    Model(&'a str),
}

impl<'a> Endpoint<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v1")?;
        if let Some(dialect) = Dialect::ALL.into_iter().find(|dialect| dialect.path() == rest) {
            return Some(Self::Ask(dialect));
        }
        match rest.strip_prefix("/models")? {
            "" => Some(Self::Models),
            rest => rest.strip_prefix('/').filter(|name| !name.is_empty()).map(Self::Model),
        }
    }

    /// The only method that it takes.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Ask(_) => Method::POST,
            Self::Models | Self::Model(_) => Method::GET,
        }
    }
}

/// The dialect in which a caller is answered where its path does not tell: Anthropic's SDKs always send these headers,
/// and OpenAI's never.
pub(super) fn dialect(path: &str, headers: &HeaderMap) -> Dialect {
    match Endpoint::of(path) {
        Some(Endpoint::Ask(dialect)) => dialect,
        _ if path.starts_with("/v1/messages") => Dialect::Messages,
        _ if headers.contains_key(ANTHROPIC_VERSION) || headers.contains_key(X_API_KEY) => Dialect::Messages,
        _ => Dialect::Chat,
    }
}

/// The keys that a caller gives, behind `Authorization: Bearer` and as `x-api-key`. Both are looked at: SDKs that take
/// one from their environment beside the one they are given send both.
pub(super) fn keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    });
    let own = headers.get(X_API_KEY).and_then(|value| value.to_str().ok());
    [bearer, own].into_iter().flatten().map(str::trim).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_paths_lead_anywhere() {
        for (path, expect) in [
            ("/v1/chat/completions", Some(Endpoint::Ask(Dialect::Chat))),
            ("/v1/responses", Some(Endpoint::Ask(Dialect::Responses))),
            ("/v1/embeddings", Some(Endpoint::Ask(Dialect::Embeddings))),
            ("/v1/messages", Some(Endpoint::Ask(Dialect::Messages))),
            ("/v1/messages/count_tokens", Some(Endpoint::Ask(Dialect::CountTokens))),
            ("/v1/models", Some(Endpoint::Models)),
            ("/v1/models/a/b", Some(Endpoint::Model("a/b"))),
            ("/v1/models/", None),
            ("/v1/modelsx", None),
            ("/v1/chat/completions/", None),
            ("/v1/responses/resp_1", None),
            ("/v1/messages/batches", None),
            ("/v1/completions", None),
            ("/v1", None),
            ("/v2/messages", None),
        ] {
            assert_eq!(Endpoint::of(path), expect, "{path}");
        }
    }

    #[test]
    fn a_caller_is_answered_in_its_dialect() {
        let headers = |name: &'static str| {
            HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static("x"),
            )])
        };
        for (path, header, expect) in [
            ("/v1/models", "accept", Dialect::Chat),
            ("/v1/models", "anthropic-version", Dialect::Messages),
            ("/v1/models/m", "x-api-key", Dialect::Messages),
            ("/v1/chat/completions", "x-api-key", Dialect::Chat),
            ("/v1/messages/batches", "accept", Dialect::Messages),
            ("/v1/else", "accept", Dialect::Chat),
        ] {
            assert_eq!(dialect(path, &headers(header)), expect, "{path} {header}");
        }
    }

    #[test]
    fn keys_are_taken_from_both_places() {
        let given = |headers: &[(&'static str, &'static str)]| {
            let headers = HeaderMap::from_iter(headers.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), header::HeaderValue::from_static(value))
            }));
            keys(&headers).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(given(&[("authorization", "bearer  a ")]), ["a"]);
        assert_eq!(given(&[("x-api-key", "b"), ("authorization", "Bearer a")]), ["a", "b"]);
        for none in
            [&[][..], &[("authorization", "Basic a")], &[("authorization", "Bearer ")], &[("x-api-key", "")]]
        {
            assert!(given(none).is_empty(), "{none:?}");
        }
    }
}
