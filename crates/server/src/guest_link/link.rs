//! One link, from challenge to close.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use creel_control::guest::{GuestRow, WishMark};
use creel_wire::guest::{
    DesiredState, FEATURE_COMMANDS, InvocationRequest, Observation, PROTOCOL_VERSION, Receipt, ToGuest,
    ToServer, hello_signing_input,
};
use ed25519_dalek::{Signature, VerifyingKey};
use tokio::sync::watch;
use tokio::time::Instant;

use super::GuestLinks;

/// From the challenge to the hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// One message to a guest that does not read.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Between two pings of ours.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Without a sign of life for this long, the link is dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Characters of a guest's error text that are kept.
const ERROR_CHARS_MAX: usize = 2_000;

/// Why a link ended, for the log.
#[derive(Debug, thiserror::Error)]
enum LinkEnd {
    #[error("the guest closed it")]
    Closed,
    #[error("the guest sent what the protocol does not have")]
    Malformed,
    #[error("the guest did not answer the challenge in time")]
    NoHello,
    #[error("refused: {0}")]
    Refused(&'static str),
    #[error("the guest was silent for too long")]
    Silent,
    #[error("a newer link has taken its place")]
    Fenced,
    #[error("the runtime was deleted")]
    Deleted,
    #[error("the server is stopping")]
    Stopping,
    #[error("the connection failed")]
    Transport(#[from] axum::Error),
    #[error("sending took too long")]
    SlowReader,
    #[error("the store failed")]
    Store,
}

/// What was last sent, to tell what a receipt confirms.
#[derive(Debug, Default)]
struct Sent {
    generation: i64,
    models_marker: String,
}

/// An Ed25519 key from its base64, if it is one.
pub(super) fn verifying_key(text: &str) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = BASE64.decode(text).ok()?.try_into().ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

/// Serves a link until it ends.
pub(super) async fn run(links: GuestLinks, mut socket: WebSocket) {
    let (guest, runs_commands) = match greet(&links, &mut socket).await {
        Ok(greeted) => greeted,
        Err(end) => {
            tracing::info!(reason = %end, "a guest's link was not accepted: {end}");
            return;
        }
    };
    let id = guest.runtime_id.clone();
    let epoch = match links.inner.guests.open_link(&id, &links.inner.replica_id).await {
        Ok(epoch) => epoch,
        Err(error) => {
            tracing::warn!(runtime.id = %id, error = %error, "opening the link of {id} failed");
            return;
        }
    };
    tracing::info!(runtime.id = %id, epoch, "guest of {id} linked");
    let marks = links.register(&id, epoch);
    let mut link = Link {
        links: &links,
        socket,
        guest,
        runs_commands,
        epoch,
        sent: Sent::default(),
        last_seen: None,
        early_receipt: None,
    };
    let end = link.serve(marks).await;
    links.unregister(&id, epoch);
    tracing::info!(runtime.id = %id, epoch, reason = %end, "link of {id} ended: {end}");
    if let Err(error) = links.inner.guests.close_link(&id, epoch).await {
        tracing::warn!(runtime.id = %id, error = %error, "recording the end of the link of {id} failed");
    }
}

/// Gives the guest, once it has proved who it is, and whether it runs commands.
async fn greet(links: &GuestLinks, socket: &mut WebSocket) -> Result<(GuestRow, bool), LinkEnd> {
    let nonce = creel_control::id_gen::random_text(32);
    send(socket, &ToGuest::Challenge { protocol: PROTOCOL_VERSION, nonce: nonce.clone() }).await?;
    let hello = tokio::time::timeout(HELLO_WITHIN, receive(socket)).await.map_err(|_| LinkEnd::NoHello)??;
    let ToServer::Hello { protocol, runtime_id, boot_id, signature, features, .. } = hello else {
        return Err(LinkEnd::Malformed);
    };
    if protocol != PROTOCOL_VERSION {
        return refuse(socket, "the guest speaks another protocol version", false).await;
    }
    let guest = links.inner.guests.find(&runtime_id).await.map_err(|_| LinkEnd::Store)?;
    let Some(guest) = guest else {
        return refuse(socket, "no such guest", false).await;
    };
    let key = guest.public_key.as_deref().and_then(verifying_key);
    let signature: Option<[u8; 64]> = BASE64.decode(&signature).ok().and_then(|bytes| bytes.try_into().ok());
    let (Some(key), Some(signature)) = (key, signature) else {
        return refuse(socket, "no such guest", false).await;
    };
    let input = hello_signing_input(&nonce, &runtime_id, &boot_id);
    if key.verify_strict(&input, &Signature::from_bytes(&signature)).is_err() {
        return refuse(socket, "no such guest", false).await;
    }
    if guest.runtime_deleted {
        return refuse(socket, "the runtime was deleted", true).await;
    }
    Ok((guest, features.iter().any(|feature| feature == FEATURE_COMMANDS)))
}

async fn refuse<T>(socket: &mut WebSocket, reason: &'static str, fatal: bool) -> Result<T, LinkEnd> {
    send(socket, &ToGuest::Refused { reason: reason.to_owned(), fatal }).await?;
    Err(LinkEnd::Refused(reason))
}

async fn send(socket: &mut WebSocket, message: &ToGuest) -> Result<(), LinkEnd> {
    let text = serde_json::to_string(message).map_err(|_| LinkEnd::Malformed)?;
    let sent = tokio::time::timeout(SEND_WITHIN, socket.send(Message::Text(text.into()))).await;
    Ok(sent.map_err(|_| LinkEnd::SlowReader)??)
}

async fn receive(socket: &mut WebSocket) -> Result<ToServer, LinkEnd> {
    loop {
        match socket.recv().await.ok_or(LinkEnd::Closed)?? {
            Message::Text(text) => return serde_json::from_str(&text).map_err(|_| LinkEnd::Malformed),
            Message::Close(_) => return Err(LinkEnd::Closed),
            Message::Binary(_) => return Err(LinkEnd::Malformed),
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

struct Link<'a> {
    links: &'a GuestLinks,
    socket: WebSocket,
    guest: GuestRow,
    /// A guest of an older version does not.
    runs_commands: bool,
    epoch: i64,
    sent: Sent,
    last_seen: Option<Observation>,
    early_receipt: Option<Receipt>,
}

impl Link<'_> {
    async fn serve(&mut self, mut marks: watch::Receiver<Option<WishMark>>) -> LinkEnd {
        if let Err(end) = self.begin().await {
            return end;
        }
        let mut ping = tokio::time::interval(PING_EVERY);
        let cancel = self.links.inner.cancel.clone();
        let mut heard = Instant::now();
        loop {
            let step = tokio::select! {
                message = self.socket.recv() => {
                    heard = Instant::now();
                    match message {
                        None => Err(LinkEnd::Closed),
                        Some(Err(error)) => Err(error.into()),
                        Some(Ok(message)) => self.on_message(message).await,
                    }
                }
                changed = marks.changed() => match changed {
                    Err(_) => Err(LinkEnd::Fenced),
                    Ok(()) => {
                        let mark = marks.borrow_and_update().clone();
                        match mark {
                            Some(mark) => self.on_mark(&mark).await,
                            None => Ok(()),
                        }
                    }
                },
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        Err(LinkEnd::Silent)
                    } else {
                        self.socket.send(Message::Ping(Vec::new().into())).await.map_err(LinkEnd::from)
                    }
                }
                () = cancel.cancelled() => Err(LinkEnd::Stopping),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn begin(&mut self) -> Result<(), LinkEnd> {
        send(&mut self.socket, &ToGuest::Welcome { epoch: self.epoch }).await?;
        self.links.inner.store.topics().raise(creel_control::store::Topic::Guest);
        self.send_invocations(true).await
    }

    async fn on_mark(&mut self, mark: &WishMark) -> Result<(), LinkEnd> {
        if mark.epoch > self.epoch {
            return Err(LinkEnd::Fenced);
        }
        if mark.deleted {
            let reason = "the runtime was deleted".to_owned();
            send(&mut self.socket, &ToGuest::Refused { reason, fatal: true }).await?;
            return Err(LinkEnd::Deleted);
        }
        if mark.generation > self.sent.generation {
            self.send_desired(mark.generation).await?;
        }
        if mark.invocations_waiting { self.send_invocations(false).await } else { Ok(()) }
    }

    async fn send_desired(&mut self, generation: i64) -> Result<(), LinkEnd> {
        let id = &self.guest.runtime_id;
        let turn = self.links.inner.wishes.acquire().await;
        let desired = self.links.inner.models.desired_models(id).await.map_err(|error| {
            tracing::warn!(runtime.id = %id, error = %error, "working out the models of {id} failed");
            LinkEnd::Store
        })?;
        let (models, marker) =
            desired.map_or((None, String::new()), |(models, marker)| (Some(models), marker));
        let skills = self.links.inner.skills.desired(id).await.map_err(|error| {
            tracing::warn!(runtime.id = %id, error = %error, "working out the skills of {id} failed");
            LinkEnd::Store
        })?;
        drop(turn);
        let state =
            DesiredState { generation, provider: self.guest.agent_provider, models, skills: Some(skills) };
        send(&mut self.socket, &ToGuest::Desired(Box::new(state))).await?;
        self.sent = Sent { generation, models_marker: marker };
        match self.early_receipt.take() {
            Some(receipt) => self.on_receipt(receipt).await,
            None => Ok(()),
        }
    }

    async fn send_invocations(&mut self, resend: bool) -> Result<(), LinkEnd> {
        let inner = &self.links.inner;
        let waiting =
            inner.messages.to_send(&self.guest.runtime_id, resend).await.map_err(|_| LinkEnd::Store)?;
        for invocation in waiting {
            let is_command = matches!(invocation.request, InvocationRequest::Command { .. });
            if is_command && !self.runs_commands {
                // It would not understand the message, and end the link.
                let refused = inner.messages.refuse_command(&self.guest.runtime_id, &invocation.id).await;
                refused.map_err(|_| LinkEnd::Store)?;
                continue;
            }
            // Marked before it is sent: after a crash in between, the new link sends it again.
            inner.messages.mark_sent(&invocation.id).await.map_err(|_| LinkEnd::Store)?;
            send(&mut self.socket, &ToGuest::Invoke(invocation)).await?;
        }
        Ok(())
    }

    async fn on_message(&mut self, message: Message) -> Result<(), LinkEnd> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return Err(LinkEnd::Closed),
            Message::Binary(_) => return Err(LinkEnd::Malformed),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        match serde_json::from_str(&text).map_err(|_| LinkEnd::Malformed)? {
            ToServer::Hello { .. } => Err(LinkEnd::Malformed),
            ToServer::Observation(seen) => self.on_observation(seen).await,
            ToServer::Receipt(receipt) => self.on_receipt(receipt).await,
            ToServer::Skills(inventory) => {
                let observed = self.links.inner.skills.observe(&self.guest, inventory).await;
                observed.map_err(|_| LinkEnd::Store)
            }
            ToServer::InvocationResult { invocation_id, outcome } => {
                let messages = &self.links.inner.messages;
                let finished = messages.finish(&self.guest.runtime_id, &invocation_id, outcome).await;
                finished.map_err(|_| LinkEnd::Store)
            }
        }
    }

    async fn on_observation(&mut self, mut seen: Observation) -> Result<(), LinkEnd> {
        seen.last_error = seen.last_error.map(shortened);
        seen.version = seen.version.map(|version| version.chars().take(64).collect());
        // A guest that repeats itself costs no row.
        if self.last_seen.as_ref() == Some(&seen) {
            return Ok(());
        }
        self.last_seen = Some(seen.clone());
        self.links.inner.guests.observe(&self.guest, seen).await.map_err(|_| LinkEnd::Store)
    }

    async fn on_receipt(&mut self, mut receipt: Receipt) -> Result<(), LinkEnd> {
        if self.sent.generation == 0 {
            // Said before the wish was sent on this link, so what it confirms is not known yet.
            self.early_receipt = Some(receipt);
            return Ok(());
        }
        receipt.error = receipt.error.map(shortened);
        // A guest may confirm only what it was sent.
        receipt.desired = receipt.desired.min(self.sent.generation);
        receipt.observed = receipt.observed.min(self.sent.generation);
        let confirms_newest = receipt.observed == self.sent.generation;
        let marker = confirms_newest.then(|| self.sent.models_marker.clone());
        self.links.inner.guests.receive(&self.guest, receipt, marker).await.map_err(|_| LinkEnd::Store)
    }
}

fn shortened(text: String) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}
