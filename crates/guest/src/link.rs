//! The link to the server: one outbound WebSocket, kept up for the guest's whole life.
//!
//! What it carries is level, not events: after each new link the newest observation and receipt go out again, and
//! the server sends the newest desired state. Only outcomes of invocations are kept until they are sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use creel_wire::guest::{
    DesiredState, FEATURE_COMMANDS, FEATURE_SKILLS, FRAME_BYTES_MAX, Observation, PROTOCOL_VERSION, Receipt,
    SkillInventory, ToGuest, ToServer,
};
use futures_util::{SinkExt, StreamExt};
use http::Uri;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::backoff::Backoff;
use crate::command::Commands;
use crate::error::GuestError;
use crate::http::{HttpClient, HttpError};
use crate::identity::Identity;
use crate::invocations::{Invocations, Outcome};
use crate::options::GuestOptions;
use crate::published::Published;

/// A thousand links must not cost a server megabytes of buffers.
const BUFFER_BYTES: usize = 4 * 1024;
/// From connecting to `Welcome`.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(20);
/// Longest that one message may take to leave.
const SEND_DEADLINE: Duration = Duration::from_secs(20);
/// Outcomes kept for a server that is away; the oldest give way.
const UNSENT_MAX: usize = 64;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("connecting")]
    Connect(#[source] HttpError),
    #[error("the connection broke")]
    Broken(#[source] tungstenite::Error),
    #[error("the server closed the link")]
    Closed,
    #[error("the server was silent for too long")]
    Silent,
    #[error("the server speaks protocol {0}, this guest {PROTOCOL_VERSION}")]
    Protocol(u32),
    #[error("the server sent what this guest does not understand")]
    Message,
    #[error("the server knows a newer guest of this runtime")]
    Fenced,
    #[error("the server refused the link: {reason}")]
    Refused { reason: String, fatal: bool },
}

/// What the server has heard on one link.
#[derive(Debug, Default)]
struct Sent {
    observation: Option<Observation>,
    receipt: Option<Receipt>,
    skills: Option<SkillInventory>,
}

/// See the module.
pub(crate) struct Link {
    http: HttpClient,
    uri: Uri,
    identity: Arc<Identity>,
    boot_id: String,
    ping: Duration,
    backoff: Backoff,
    desired: watch::Sender<Option<DesiredState>>,
    desired_file: std::path::PathBuf,
    published: watch::Receiver<Published>,
    skills: watch::Receiver<Option<SkillInventory>>,
    invocations: Invocations,
    unsent: VecDeque<Outcome>,
    epoch: i64,
}

impl Link {
    pub(crate) fn new(
        options: &GuestOptions,
        http: HttpClient,
        identity: Arc<Identity>,
        commands: Commands,
        desired: watch::Sender<Option<DesiredState>>,
        published: watch::Receiver<Published>,
        skills: watch::Receiver<Option<SkillInventory>>,
    ) -> Result<Self, GuestError> {
        let uri = link_uri(&options.server_url)?;
        let boot_id: [u8; 16] = rand::random();
        Ok(Self {
            invocations: Invocations::new(http.clone(), commands, published.clone()),
            http,
            uri,
            identity,
            boot_id: boot_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            ping: Duration::from_millis(options.timing.ping_ms),
            backoff: Backoff::new(&options.timing),
            desired,
            desired_file: options.guest_dir.join("desired.json"),
            published,
            skills,
            unsent: VecDeque::new(),
            epoch: i64::MIN,
        })
    }

    /// Keeps a link up until the server refuses it for good; gives its reason.
    pub(crate) async fn run(mut self) -> String {
        loop {
            let error = match self.session().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            match error {
                LinkError::Refused { reason, fatal: true } => return reason,
                error => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(cause, "link down: {error}");
                }
            }
            self.away().await;
        }
    }

    /// Waits before the next attempt, and keeps what comes out of invocations meanwhile.
    async fn away(&mut self) {
        let pause = self.backoff.pause();
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                outcome = self.invocations.next() => keep(&mut self.unsent, outcome),
            }
        }
    }

    async fn session(&mut self) -> Result<std::convert::Infallible, LinkError> {
        let mut socket = timeout(HANDSHAKE_DEADLINE, self.open()).await.map_err(|_| LinkError::Silent)??;
        self.backoff.reset();
        tracing::info!(epoch = self.epoch, "linked to the server");
        let mut sent = Sent::default();
        let mut ping = interval_at(Instant::now() + self.ping, self.ping);
        let mut heard = Instant::now();
        loop {
            self.send_news(&mut socket, &mut sent).await?;
            tokio::select! {
                message = socket.next() => {
                    heard = Instant::now();
                    self.on_message(&mut socket, message).await?;
                }
                changed = async { tokio::select! {
                    changed = self.published.changed() => changed,
                    changed = self.skills.changed() => changed,
                } } => {
                    if changed.is_err() {
                        // The supervisor has ended, and this task is about to be.
                        std::future::pending::<()>().await;
                    }
                }
                outcome = self.invocations.next() => keep(&mut self.unsent, outcome),
                _ = ping.tick() => {
                    if heard.elapsed() > self.ping * 2 {
                        return Err(LinkError::Silent);
                    }
                    send(&mut socket, Message::Ping(tungstenite::Bytes::new())).await?;
                }
            }
        }
    }

    /// Connects, proves who we are, and waits for the welcome.
    async fn open(&mut self) -> Result<Socket, LinkError> {
        let stream = self
            .http
            .open_websocket(self.uri.clone(), HANDSHAKE_DEADLINE)
            .await
            .map_err(LinkError::Connect)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(2 * FRAME_BYTES_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await;
        loop {
            match receive(&mut socket).await? {
                ToGuest::Challenge { protocol, nonce } => {
                    if protocol != PROTOCOL_VERSION {
                        return Err(LinkError::Protocol(protocol));
                    }
                    let hello = ToServer::Hello {
                        protocol: PROTOCOL_VERSION,
                        runtime_id: self.identity.runtime_id.clone(),
                        boot_id: self.boot_id.clone(),
                        guest_version: env!("CARGO_PKG_VERSION").to_owned(),
                        signature: self.identity.sign_hello(&nonce, &self.boot_id),
                        features: vec![FEATURE_COMMANDS.to_owned(), FEATURE_SKILLS.to_owned()],
                    };
                    send_json(&mut socket, &hello).await?;
                }
                ToGuest::Welcome { epoch } if epoch < self.epoch => return Err(LinkError::Fenced),
                ToGuest::Welcome { epoch } => {
                    self.epoch = epoch;
                    return Ok(socket);
                }
                ToGuest::Refused { reason, fatal } => return Err(LinkError::Refused { reason, fatal }),
                ToGuest::Desired(_) | ToGuest::Invoke(_) => return Err(LinkError::Message),
            }
        }
    }

    async fn on_message(
        &mut self,
        socket: &mut Socket,
        message: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), LinkError> {
        let text = match message.ok_or(LinkError::Closed)?.map_err(LinkError::Broken)? {
            Message::Text(text) => text,
            Message::Close(_) => return Err(LinkError::Closed),
            // The library has queued the pong; it leaves with the next flush.
            Message::Ping(_) => return flush(socket).await,
            Message::Pong(_) => return Ok(()),
            Message::Binary(_) | Message::Frame(_) => return Err(LinkError::Message),
        };
        match serde_json::from_str(&text).map_err(|_| LinkError::Message)? {
            ToGuest::Desired(desired) => self.on_desired(*desired),
            ToGuest::Invoke(invocation) => {
                if let Some(outcome) = self.invocations.start(invocation) {
                    keep(&mut self.unsent, outcome);
                }
            }
            ToGuest::Refused { reason, fatal } => return Err(LinkError::Refused { reason, fatal }),
            ToGuest::Challenge { .. } | ToGuest::Welcome { .. } => return Err(LinkError::Message),
        }
        Ok(())
    }

    fn on_desired(&self, desired: DesiredState) {
        if self.desired.borrow().as_ref() == Some(&desired) {
            return;
        }
        // First to the disk: a guest that starts without its server goes on from here.
        if let Err(error) = crate::files::write_json(&self.desired_file, &desired) {
            tracing::error!(error = %error, "the desired state could not be kept for a restart");
        }
        self.desired.send_replace(Some(desired));
    }

    /// Sends what the server has not heard on this link.
    async fn send_news(&mut self, socket: &mut Socket, sent: &mut Sent) -> Result<(), LinkError> {
        let news = self.published.borrow_and_update().clone();
        if sent.observation.as_ref() != Some(&news.observation) {
            send_json(socket, &ToServer::Observation(news.observation.clone())).await?;
            sent.observation = Some(news.observation);
        }
        if news.receipt.is_some() && sent.receipt != news.receipt {
            if let Some(news) = &news.receipt {
                send_json(socket, &ToServer::Receipt(news.clone())).await?;
            }
            sent.receipt = news.receipt;
        }
        let skills = self.skills.borrow_and_update().clone();
        if skills.is_some() && sent.skills != skills {
            if let Some(skills) = &skills {
                send_json(socket, &ToServer::Skills(skills.clone())).await?;
            }
            sent.skills = skills;
        }
        while let Some((invocation_id, outcome)) = self.unsent.front().cloned() {
            send_json(socket, &ToServer::InvocationResult { invocation_id, outcome }).await?;
            self.unsent.pop_front();
        }
        Ok(())
    }
}

fn keep(unsent: &mut VecDeque<Outcome>, outcome: Outcome) {
    if unsent.len() >= UNSENT_MAX {
        unsent.pop_front();
    }
    unsent.push_back(outcome);
}

async fn receive(socket: &mut Socket) -> Result<ToGuest, LinkError> {
    loop {
        match socket.next().await.ok_or(LinkError::Closed)?.map_err(LinkError::Broken)? {
            Message::Text(text) => return serde_json::from_str(&text).map_err(|_| LinkError::Message),
            Message::Ping(_) => flush(socket).await?,
            Message::Pong(_) => {}
            Message::Close(_) => return Err(LinkError::Closed),
            Message::Binary(_) | Message::Frame(_) => return Err(LinkError::Message),
        }
    }
}

async fn send_json(socket: &mut Socket, message: &ToServer) -> Result<(), LinkError> {
    let mut text = serde_json::to_string(message).map_err(|_| LinkError::Message)?;
    if text.len() > FRAME_BYTES_MAX
        && let ToServer::InvocationResult { invocation_id, .. } = message
    {
        let outcome = creel_wire::guest::InvocationOutcome::Failed {
            message: "The agent's answer is longer than a message may be.".to_owned(),
        };
        let short = ToServer::InvocationResult { invocation_id: invocation_id.clone(), outcome };
        text = serde_json::to_string(&short).map_err(|_| LinkError::Message)?;
    }
    send(socket, Message::text(text)).await
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), LinkError> {
    let sent = timeout(SEND_DEADLINE, socket.send(message)).await;
    sent.map_err(|_| LinkError::Silent)?.map_err(LinkError::Broken)
}

async fn flush(socket: &mut Socket) -> Result<(), LinkError> {
    let flushed = timeout(SEND_DEADLINE, socket.flush()).await;
    flushed.map_err(|_| LinkError::Silent)?.map_err(LinkError::Broken)
}

/// `http` and `https` are what an operator writes; the WebSocket starts as a request to the same address.
fn link_uri(server_url: &str) -> Result<Uri, GuestError> {
    let base = server_url.trim_end_matches('/');
    let base = match base.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(("http" | "https", _)) => base.to_owned(),
        _ => return Err(GuestError::Server(format!("{base} is neither http nor https"))),
    };
    format!("{base}/guest/v1/link")
        .parse()
        .map_err(|error: http::uri::InvalidUri| GuestError::Server(error.to_string()))
}
