//! Calls the API as any client does: signed, over HTTP. Used by `call`, `chat` and `login`.

use std::time::Duration;

use bytes::Bytes;
use creel_control::clock::Clock;
use creel_control::id_gen::IdGen;
use creel_wire::secret::Secret;
use creel_wire::sign::{Acs3Call, sign_acs3};
use creel_wire::time::TimeFormat;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::sync::Arc;

/// How long one call may take; a little more than the server's own limit.
const CALL_DEADLINE: Duration = Duration::from_secs(40);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const FORM: &str = "application/x-www-form-urlencoded";

/// Why there is no answer to print.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the endpoint {0} is not http://HOST:PORT or https://HOST:PORT")]
    Endpoint(String),
    #[error("reaching {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{endpoint} did not answer in time")]
    TimedOut { endpoint: String },
    #[error("the answer of {endpoint} is not JSON: is it Creel's API?")]
    NotJson { endpoint: String },
    #[error("{}: {} (RequestId {})", text(body, "Code"), text(body, "Message"), text(body, "RequestId"))]
    Refused { body: Value },
    #[error("making the request")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A text of an answer, empty if it is not there.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) endpoint: String,
    pub(crate) access_key_id: String,
    pub(crate) access_key_secret: Secret,
}

/// A client of one endpoint.
#[derive(Debug)]
pub(crate) struct ApiClient {
    credentials: Credentials,
    uri: Uri,
    host: String,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    clock: Arc<dyn Clock>,
    ids: IdGen,
}

impl ApiClient {
    /// Connects at the first call.
    pub(crate) fn new(credentials: Credentials, clock: Arc<dyn Clock>) -> Result<Self, CallError> {
        let bad = || CallError::Endpoint(credentials.endpoint.clone());
        let with_scheme = if credentials.endpoint.contains("://") {
            credentials.endpoint.clone()
        } else {
            format!("http://{}", credentials.endpoint)
        };
        let uri: Uri = with_scheme.parse().map_err(|_| bad())?;
        let host = uri.authority().ok_or_else(bad)?.to_string();
        if !matches!(uri.scheme_str(), Some("http" | "https")) || !matches!(uri.path(), "" | "/") {
            return Err(bad());
        }
        let ids = IdGen::new(clock.clone());
        Ok(Self { credentials, uri, host, http: http_client().map_err(CallError::Request)?, clock, ids })
    }

    /// Calls one operation with parameters as they stand on the wire; gives its answer.
    pub(crate) async fn call(
        &self,
        version: &str,
        action: &str,
        params: &[(String, String)],
    ) -> Result<Value, CallError> {
        let (status, body) = self.exchange(version, action, &[], params).await?;
        if status.is_success() { Ok(body) } else { Err(CallError::Refused { body }) }
    }

    /// Calls one operation with parameters where they stand; gives its answer, also when it is a refusal.
    pub(crate) async fn exchange(
        &self,
        version: &str,
        action: &str,
        query: &[(String, String)],
        form: &[(String, String)],
    ) -> Result<(StatusCode, Value), CallError> {
        let request = self.request(version, action, query, form)?;
        let endpoint = || self.credentials.endpoint.clone();
        let exchange = async {
            let response = self.http.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
        };
        let (status, body) = tokio::time::timeout(CALL_DEADLINE, exchange)
            .await
            .map_err(|_| CallError::TimedOut { endpoint: endpoint() })?
            .map_err(|source| CallError::Unreachable { endpoint: endpoint(), source })?;
        let body = serde_json::from_slice(&body).map_err(|_| CallError::NotJson { endpoint: endpoint() })?;
        Ok((status, body))
    }

    fn request(
        &self,
        version: &str,
        action: &str,
        query: &[(String, String)],
        form: &[(String, String)],
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let (query, form) = (encode(query), encode(form));
        let date = TimeFormat::Seconds.write(self.clock.now());
        let nonce = self.ids.request_id();
        let call = Acs3Call {
            method: "POST",
            host: &self.host,
            version,
            action,
            query: &query,
            body: form.as_bytes(),
            content_type: (!form.is_empty()).then_some(FORM),
            date: &date,
            nonce: &nonce,
            security_token: None,
        };
        let signed = sign_acs3(&call, &self.credentials.access_key_id, &self.credentials.access_key_secret);
        let signed = signed.map_err(|error| CallError::Request(error.message.into()))?;
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address(&query)?;
        for (name, value) in signed {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| CallError::Request(error.into()))?;
            let value = HeaderValue::from_str(&value).map_err(|error| CallError::Request(error.into()))?;
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }

    /// The endpoint with this query.
    fn address(&self, query: &str) -> Result<Uri, CallError> {
        if query.is_empty() {
            return Ok(self.uri.clone());
        }
        let mut parts = self.uri.clone().into_parts();
        let path = format!("/?{query}").parse().map_err(|error| CallError::Request(Box::new(error)));
        parts.path_and_query = Some(path?);
        Uri::from_parts(parts).map_err(|error| CallError::Request(Box::new(error)))
    }
}

fn encode(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Trusts the system's certificate authorities, or the ones compiled in where the system has none.
fn http_client()
-> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT_DEADLINE));
    http.enforce_http(false);
    let provider = rustls::crypto::ring::default_provider();
    let builder = match HttpsConnectorBuilder::new().with_provider_and_native_roots(provider.clone()) {
        Ok(builder) => builder,
        Err(_) => HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider)?,
    };
    let https = builder.https_or_http().enable_http1().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).build(https))
}
