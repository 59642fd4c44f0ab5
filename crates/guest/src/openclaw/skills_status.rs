//! Asks a running OpenClaw which skills it has: `skills.status`, which only its WebSocket answers.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::rpc::{OpenClawClient, RpcError};
use super::skills::{Listed, Packaged, listed};
use crate::http::HttpError;

/// From connecting to the whole answer; it took 0.1 s with 58 skills.
const DEADLINE: Duration = Duration::from_secs(20);
/// Longest message that is read. An answer about 58 skills has 48 kB.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The version of OpenClaw's protocol that was tried.
const PROTOCOL: u32 = 4;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

impl OpenClawClient {
    /// All skills that OpenClaw finds, those of its package too. Changes nothing.
    pub(crate) async fn skills(&self, package: &Packaged) -> Result<Vec<Listed>, RpcError> {
        let payload =
            timeout(DEADLINE, self.ask("skills.status")).await.map_err(|_| HttpError::Deadline)??;
        Ok(listed(&payload, package))
    }

    async fn ask(&self, method: &str) -> Result<Value, RpcError> {
        let uri = self.uri("/").parse().map_err(|error| RpcError::Request(http::Error::from(error)))?;
        let stream = self.http().open_websocket(uri, DEADLINE).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
        // Who is on the loopback interface and knows the token may be this client, which needs no device of its own.
        let connect = json!({
            "minProtocol": PROTOCOL,
            "maxProtocol": PROTOCOL,
            "client": { "id": "gateway-client", "mode": "backend", "platform": "linux",
                        "version": env!("CARGO_PKG_VERSION") },
            "role": "operator",
            "scopes": ["operator.read"],
            "caps": [],
            "auth": { "token": self.token().expose() },
        });
        // Its first message is a challenge to devices, which this is none of.
        request(&mut socket, "1", "connect", connect).await?;
        let answer = request(&mut socket, "2", method, json!({})).await?;
        // Nothing depends on how the other side takes the end.
        let _ = socket.close(None).await;
        Ok(answer)
    }
}

/// Sends one request and waits for its answer; events between are of no interest.
async fn request(socket: &mut Socket, id: &str, method: &str, params: Value) -> Result<Value, RpcError> {
    let frame = json!({ "type": "req", "id": id, "method": method, "params": params });
    socket.send(Message::text(frame.to_string())).await.map_err(RpcError::socket)?;
    loop {
        let message = socket.next().await.ok_or(RpcError::Answer("the connection was closed"))?;
        let Message::Text(text) = message.map_err(RpcError::socket)? else { continue };
        let mut answer: Value = serde_json::from_str(&text).map_err(|_| RpcError::Answer("not JSON"))?;
        if answer.get("type").and_then(Value::as_str) != Some("res")
            || answer.get("id").and_then(Value::as_str) != Some(id)
        {
            continue;
        }
        if answer.get("ok").and_then(Value::as_bool) != Some(true) {
            return Err(RpcError::refused(&answer));
        }
        return Ok(answer.get_mut("payload").map(Value::take).unwrap_or_default());
    }
}
