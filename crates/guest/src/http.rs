//! HTTP calls with a deadline and a bound on the answer, and the upgrade to a WebSocket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::upgrade::Upgraded;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::GuestError;

/// Longest answer that is read, in bytes. OpenClaw's `config.get` of a large group is some hundred kilobytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// From the first byte of a connection attempt to its refusal.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no answer in time")]
    Deadline,
    #[error("building the request")]
    Request(#[source] http::Error),
    #[error("sending the request")]
    Send(#[source] hyper_util::client::legacy::Error),
    #[error("reading the answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the server answered {0} instead of switching protocols")]
    NotUpgraded(StatusCode),
    #[error("switching protocols")]
    Upgrade(#[source] hyper::Error),
}

/// A client for the server and for the agent beside us.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpClient {
    /// Trusts the certificates in `ca_file`, or the public ones without it.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, GuestError> {
        let builder = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(|error| GuestError::Server(error.to_string()))?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_DEADLINE));
        http.set_nodelay(true);
        let connector = match ca_file {
            Some(path) => {
                let mut roots = rustls::RootCertStore::empty();
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| GuestError::Server(format!("{}: {error}", path.display())))?;
                roots.add_parsable_certificates(certificates);
                let tls = builder.with_root_certificates(roots).with_no_client_auth();
                HttpsConnectorBuilder::new().with_tls_config(tls)
            }
            None => HttpsConnectorBuilder::new()
                .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
                .map_err(|error| GuestError::Server(error.to_string()))?,
        }
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_idle_timeout(Duration::from_secs(30)).pool_max_idle_per_host(2);
        Ok(Self { client: client.build(connector) })
    }

    /// One call, read to its end.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        self.send_within(request, deadline, BODY_BYTES_MAX).await
    }

    /// As [`Self::send`], with a bound of its own on the answer.
    pub(crate) async fn send_within(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
        bytes_max: usize,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let call = async {
            let response = self.client.request(request).await.map_err(HttpError::Send)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), bytes_max);
            Ok((status, body.collect().await.map_err(HttpError::Body)?.to_bytes()))
        };
        tokio::time::timeout(deadline, call).await.map_err(|_| HttpError::Deadline)?
    }

    /// Sends `GET` with the upgrade headers for a WebSocket and gives the raw stream.
    pub(crate) async fn open_websocket(
        &self,
        uri: Uri,
        deadline: Duration,
    ) -> Result<TokioIo<Upgraded>, HttpError> {
        let request = Request::get(uri)
            .header(http::header::CONNECTION, "Upgrade")
            .header(http::header::UPGRADE, "websocket")
            .header(http::header::SEC_WEBSOCKET_VERSION, "13")
            .header(
                http::header::SEC_WEBSOCKET_KEY,
                tokio_tungstenite::tungstenite::handshake::client::generate_key(),
            )
            .body(Full::default())
            .map_err(HttpError::Request)?;
        let call = async {
            let response = self.client.request(request).await.map_err(HttpError::Send)?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Err(HttpError::NotUpgraded(response.status()));
            }
            hyper::upgrade::on(response).await.map(TokioIo::new).map_err(HttpError::Upgrade)
        };
        tokio::time::timeout(deadline, call).await.map_err(|_| HttpError::Deadline)?
    }
}
