//! The two listeners: accepting connections, TLS, limits, graceful shutdown, and what answers which path.
//!
//! Request URIs, headers and bodies are never logged: they may carry secrets.

mod admin;
mod agent;
mod body;
pub(crate) mod cork;
pub(crate) mod lanes;
mod listener;
mod metrics;
mod refusals;
mod tls;

use std::time::Duration;

use bytes::Bytes;

pub(crate) use admin::AdminService;
pub(crate) use agent::AgentService;
pub(crate) use body::{BodyError, collect_body, drain, read_body};
pub(crate) use listener::{Listener, PeerAddress, serve, serve_on_lanes};
pub(crate) use metrics::{Metrics, Outcome};
pub(crate) use tls::load_tls;

/// Most bytes of a request's body on the admin listener.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a request's query. An address of more than 65,534 bytes never becomes a request in `hyper`, so the
/// documented limit lies below that.
pub(crate) const QUERY_BYTES_MAX: usize = 64_000;
/// Most bytes of a request's line and headers together.
pub(crate) const HEAD_BYTES_MAX: usize = 256 * 1024;
/// How long a client may take to send line and headers.
pub(crate) const HEAD_READ_DEADLINE: Duration = Duration::from_secs(10);
/// How long a client may take to send a body.
pub(crate) const BODY_READ_DEADLINE: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
pub(crate) const TLS_DEADLINE: Duration = Duration::from_secs(10);
/// Connections of one listener at the most; more wait in the kernel's queue.
pub(crate) const CONNECTIONS_MAX: usize = 20_000;
/// How long requests that run may go on after SIGTERM.
pub(crate) const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(30);

/// The content type of every answer of the API.
pub(crate) const JSON: &str = "application/json;charset=utf-8";

/// The documented error body.
pub(crate) fn error_body(request_id: &str, host: &str, code: &str, message: &str) -> Bytes {
    Bytes::from(error_json(request_id, host, code, message).to_string())
}

/// The documented error body, to add to.
pub(crate) fn error_json(request_id: &str, host: &str, code: &str, message: &str) -> serde_json::Value {
    serde_json::json!({
        "RequestId": request_id, "HostId": host, "Code": code, "Message": message, "Recommend": "",
    })
}
