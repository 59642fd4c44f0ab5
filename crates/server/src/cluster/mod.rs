//! What several `creel serve` over one PostgreSQL say to each other: gateways ask the one that owns the ledger.
//!
//! One WebSocket from each gateway to the owner's admin listener, kept while the ownership lasts. Both ends prove that
//! they have the same master key before anything else is said, and every message bears a tag by a key of this one
//! connection ([`line`]). Nothing secret is on the wire; who can read along sees ids, token counts and prices.

mod dial;
mod line;

use std::time::Duration;

use axum::body::Body;
use creel_control::ledger::Ledger;
use creel_control::secrets::MacKey;
use creel_control::tasks::Tasks;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::app::App;
use crate::config::Config;
pub(crate) use dial::Dialer;
use line::{Socket, Step};

/// Where the ledger's owner is asked.
pub(crate) const PATH: &str = "/cluster/v1/ledger";
/// Names the key that is derived of the master key for this use.
pub(crate) const KEY_LABEL: &str = "creel cluster v1";
/// From connecting to the end of the handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(4);

/// The base address of a process, `http://HOST:PORT` or `https://HOST:PORT`, if the text is one.
pub(crate) fn endpoint(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/');
    (is_web && is_bare && uri.port_u16().is_some_and(|port| port != 0)).then_some(uri)
}

/// Where the others reach this process; empty where it listens on every address and nothing is set.
pub(crate) fn address(config: &Config, admin_url: &str) -> String {
    match &config.cluster.advertise {
        Some(advertise) => advertise.clone(),
        None if config.admin_listen.ip().is_unspecified() => String::new(),
        None => admin_url.to_owned(),
    }
}

/// Takes the connections of other gateways. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    ledger: Ledger,
    key: MacKey,
    replica_id: String,
    tasks: Tasks,
}

impl Cluster {
    /// Of this process.
    pub(crate) fn new(app: &App, ledger: Ledger, replica_id: &str) -> Self {
        let (key, tasks) = (app.cluster_key.clone(), app.tasks.clone());
        Self { ledger, key, replica_id: replica_id.to_owned(), tasks }
    }

    /// Switches to a WebSocket; who is at the other end is asked there.
    pub(crate) fn accept(&self, mut request: Request<Incoming>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            return response;
        };
        let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        let upgrade = hyper::upgrade::on(&mut request);
        let this = self.clone();
        self.tasks.spawn("cluster-line", async move {
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_DEADLINE, upgrade).await else { return };
            this.serve(line::socket(TokioIo::new(stream), Role::Server).await).await;
        });
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accepted) = accepted {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
        }
        response
    }

    async fn serve(&self, mut socket: Socket) {
        let greeting = line::greet(&mut socket, &self.key, &self.replica_id);
        let (gateway_id, keys) = match tokio::time::timeout(HANDSHAKE_DEADLINE, greeting).await {
            Ok(Ok(greeted)) => greeted,
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "a process that wanted to share the ledger was refused: {error}");
                return;
            }
            // The other end decides how slow it is; that is nothing to tell an operator about.
            Err(_) => return,
        };
        let (asks, asks_rx) = tokio::sync::mpsc::channel(64);
        let (answers, mut answers_rx) = tokio::sync::mpsc::unbounded_channel();
        let outgoing = futures_util::stream::poll_fn(move |cx| answers_rx.poll_recv(cx));
        let incoming = async move |batch| match asks.send(batch).await {
            Ok(()) => Step::GoOn,
            Err(_) => Step::End,
        };
        tokio::select! {
            () = self.ledger.serve(&gateway_id, asks_rx, answers) => {}
            ended = line::run(socket, keys, outgoing, incoming) => {
                tracing::info!(gateway.id = gateway_id, reason = %ended, "the line of gateway {gateway_id} ended: {ended}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for good in ["http://10.0.0.7:8080", "https://creel-1.creel:8443", "http://[::1]:80"] {
            assert!(endpoint(good).is_some(), "{good}");
        }
        for bad in [
            "10.0.0.7:8080",
            "http://10.0.0.7",
            "http://a:80/x",
            "http://a:80/",
            "ftp://a:21",
            "http://a:0",
            "",
        ] {
            assert!(endpoint(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_process_that_listens_everywhere_has_no_address_until_it_is_given_one() {
        let mut config = Config { admin_listen: "0.0.0.0:8080".parse().unwrap(), ..Config::default() };
        assert_eq!(address(&config, "http://0.0.0.0:8080"), "");
        config.cluster.advertise = Some("http://10.0.0.7:8080".into());
        assert_eq!(address(&config, "http://0.0.0.0:8080"), "http://10.0.0.7:8080");
        assert_eq!(address(&Config::default(), "http://127.0.0.1:8080"), "http://127.0.0.1:8080");
    }
}
