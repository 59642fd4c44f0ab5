//! The gateway's end of a connection to the owner of the ledger.

use std::path::Path;

use bytes::Bytes;
use creel_control::ledger::{Dial, DialError, Line};
use creel_control::secrets::MacKey;
use creel_control::tasks::Tasks;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::line::{self, LineError, Socket, Step};
use super::{HANDSHAKE_DEADLINE, PATH, endpoint};
use crate::app::App;
use crate::config::ConfigError;
use crate::serve::ServeError;

/// Connects to other processes over the same database.
#[derive(Debug)]
pub(crate) struct Dialer {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    key: MacKey,
    replica_id: String,
    tasks: Tasks,
}

impl Dialer {
    /// Of this process. Where it serves TLS itself it trusts what its own chain holds, else public authorities.
    pub(crate) fn new(app: &App, replica_id: &str) -> Result<Self, ServeError> {
        let client = Client::builder(TokioExecutor::new()).build(connector(app.config.tls_cert.as_deref())?);
        let (key, tasks) = (app.cluster_key.clone(), app.tasks.clone());
        Ok(Self { client, key, replica_id: replica_id.to_owned(), tasks })
    }

    async fn open(&self, address: &str) -> Result<Socket, String> {
        let base = endpoint(address).ok_or("that is no address")?;
        let authority = base.authority().map(ToString::to_string).unwrap_or_default();
        let request = Request::get(format!("{}://{authority}{PATH}", base.scheme_str().unwrap_or("http")))
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, generate_key())
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| crate::ops::chain(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!(
                "it answers {} and not as a process that shares the ledger",
                response.status()
            ));
        }
        let stream = hyper::upgrade::on(response).await.map_err(|error| crate::ops::chain(&error))?;
        Ok(line::socket(TokioIo::new(stream), Role::Client).await)
    }

    async fn connect(&self, address: &str, owner_id: &str) -> Result<Line, DialError> {
        let mut socket = self.open(address).await.map_err(DialError::Unreachable)?;
        let keys = match line::introduce(&mut socket, &self.key, &self.replica_id, owner_id).await {
            Ok(keys) => keys,
            Err(error @ (LineError::WrongKey | LineError::Protocol(_))) => {
                return Err(DialError::Refused(error.to_string()));
            }
            Err(error) => return Err(DialError::Unreachable(error.to_string())),
        };
        let (asks, mut asks_rx) = tokio::sync::mpsc::channel(64);
        let (answers, answers_rx) = tokio::sync::mpsc::unbounded_channel();
        let outgoing = futures_util::stream::poll_fn(move |cx| asks_rx.poll_recv(cx));
        let incoming = async move |batch| match answers.send(batch) {
            Ok(()) => Step::GoOn,
            Err(_) => Step::End,
        };
        self.tasks.spawn("cluster-line", async move {
            let ended = line::run(socket, keys, outgoing, incoming).await;
            tracing::info!(reason = %ended, "the line to the ledger's owner ended: {ended}");
        });
        Ok(Line { asks, answers: answers_rx })
    }
}

impl Dial for Dialer {
    fn dial<'a>(&'a self, address: &'a str, owner_id: &'a str) -> BoxFuture<'a, Result<Line, DialError>> {
        Box::pin(async move {
            let connected = tokio::time::timeout(HANDSHAKE_DEADLINE, self.connect(address, owner_id));
            connected.await.unwrap_or_else(|_| Err(DialError::Unreachable("no answer in time".to_owned())))
        })
    }
}

fn connector(ca_file: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, ServeError> {
    let provider = rustls::crypto::ring::default_provider();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(HANDSHAKE_DEADLINE));
    http.set_nodelay(true);
    let builder = match ca_file {
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|_| {
                    ConfigError::value(path.display().to_string(), "cannot be read as PEM certificates")
                })?;
            roots.add_parsable_certificates(certificates);
            let tls = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            HttpsConnectorBuilder::new().with_tls_config(tls)
        }
        None => HttpsConnectorBuilder::new().with_provider_and_webpki_roots(provider)?,
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}
