//! One connection between two processes: the handshake, and messages with tags.
//!
//! The owner begins with its name and a nonce; the gateway answers with its own and a proof over both, which only the
//! master key can make; the owner proves itself the same way. From both nonces come two keys, one a direction, and each
//! message bears a tag over its number and bytes: none can be put in, left out, changed or played again.

use std::pin::pin;
use std::time::Duration;

use creel_control::id_gen::random_text;
use creel_control::secrets::MacKey;
use futures_util::{SinkExt, Stream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};

/// What both ends must speak.
const PROTOCOL: u32 = 1;
/// Most bytes of a message: many times a full batch of questions.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a tag.
const TAG_BYTES: usize = 16;
/// Characters of a nonce; 190 bits.
const NONCE_CHARS: usize = 32;
/// Longest name of a process.
const NAME_CHARS_MAX: usize = 64;
/// Between two signs of life.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Without one for this long, the other end counts as gone: well within the ledger's lease.
const SILENCE_MAX: Duration = Duration::from_secs(7);
/// How long the other end may not read.
const SEND_WITHIN: Duration = Duration::from_secs(7);

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a connection ended or was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the other end closed it")]
    Closed,
    #[error("the other end was silent for too long")]
    Silent,
    #[error("the other end does not read")]
    SlowReader,
    #[error("this end has nothing more to say")]
    Done,
    #[error("the other end speaks protocol {0}, this one {PROTOCOL}")]
    Protocol(u32),
    #[error("the other end has another master key")]
    WrongKey,
    #[error("the other end is {0}, which is another process than was looked for")]
    OtherProcess(String),
    #[error("the other end sent what the protocol does not have")]
    Malformed,
    #[error("the connection failed")]
    Transport(#[from] Box<tungstenite::Error>),
}

impl From<tungstenite::Error> for LineError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Transport(Box::new(error))
    }
}

/// Whether a connection goes on after a message.
pub(super) enum Step {
    GoOn,
    End,
}

#[derive(Debug, Serialize, Deserialize)]
struct Challenge {
    protocol: u32,
    owner_id: String,
    nonce: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    gateway_id: String,
    nonce: String,
    proof: String,
}

/// The owner's answer; without a proof it does not accept the gateway's.
#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    proof: Option<String>,
}

/// What both ends have said of themselves.
struct Transcript<'a> {
    owner_id: &'a str,
    gateway_id: &'a str,
    owner_nonce: &'a str,
    gateway_nonce: &'a str,
}

impl Transcript<'_> {
    fn parts<'a>(&'a self, what: &'a str) -> [&'a [u8]; 5] {
        [what, self.owner_id, self.gateway_id, self.owner_nonce, self.gateway_nonce].map(str::as_bytes)
    }

    fn proof(&self, key: &MacKey, of: &str) -> String {
        hex::encode(key.tag(&self.parts(of)))
    }

    fn is_proof(&self, key: &MacKey, of: &str, proof: &str) -> bool {
        hex::decode(proof).is_ok_and(|proof| proof.len() == 32 && key.verifies(&self.parts(of), &proof))
    }

    fn key(&self, key: &MacKey, direction: &str) -> Tags {
        Tags { key: key.derive(&self.parts(direction)), number: 0 }
    }
}

/// The tags of one direction.
#[derive(Debug)]
struct Tags {
    key: MacKey,
    number: u64,
}

/// The tags of a connection.
#[derive(Debug)]
pub(super) struct Keys {
    sending: Tags,
    receiving: Tags,
}

impl Tags {
    fn close(&mut self, mut message: Vec<u8>) -> Bytes {
        let tag = self.key.tag(&[&self.number.to_le_bytes(), &message]);
        self.number += 1;
        message.extend(tag.into_iter().take(TAG_BYTES));
        message.into()
    }

    fn open<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], LineError> {
        let (message, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(LineError::Malformed)?;
        if !self.key.verifies(&[&self.number.to_le_bytes(), message], tag) {
            return Err(LineError::WrongKey);
        }
        self.number += 1;
        Ok(message)
    }
}

/// A socket on a stream that has switched protocols.
pub(super) async fn socket(stream: TokioIo<Upgraded>, role: Role) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX);
    WebSocketStream::from_raw_socket(stream, role, Some(config)).await
}

/// The owner's part of the handshake; gives the gateway's name.
pub(super) async fn greet(
    socket: &mut Socket,
    key: &MacKey,
    owner_id: &str,
) -> Result<(String, Keys), LineError> {
    let owner_nonce = random_text(NONCE_CHARS);
    let (protocol, nonce) = (PROTOCOL, owner_nonce.clone());
    say(socket, &Challenge { protocol, owner_id: owner_id.to_owned(), nonce }).await?;
    let hello: Hello = hear(socket).await?;
    if hello.protocol != PROTOCOL {
        return Err(LineError::Protocol(hello.protocol));
    }
    if hello.gateway_id.len() > NAME_CHARS_MAX || hello.nonce.len() > NAME_CHARS_MAX {
        return Err(LineError::Malformed);
    }
    let said = Transcript {
        owner_id,
        gateway_id: &hello.gateway_id,
        owner_nonce: &owner_nonce,
        gateway_nonce: &hello.nonce,
    };
    if !said.is_proof(key, "gateway", &hello.proof) {
        say(socket, &Welcome { proof: None }).await?;
        return Err(LineError::WrongKey);
    }
    say(socket, &Welcome { proof: Some(said.proof(key, "owner")) }).await?;
    let keys = Keys { sending: said.key(key, "to gateway"), receiving: said.key(key, "to owner") };
    Ok((hello.gateway_id, keys))
}

/// The gateway's part of the handshake.
pub(super) async fn introduce(
    socket: &mut Socket,
    key: &MacKey,
    gateway_id: &str,
    owner_id: &str,
) -> Result<Keys, LineError> {
    let challenge: Challenge = hear(socket).await?;
    if challenge.protocol != PROTOCOL {
        return Err(LineError::Protocol(challenge.protocol));
    }
    if challenge.owner_id != owner_id {
        return Err(LineError::OtherProcess(challenge.owner_id.chars().take(NAME_CHARS_MAX).collect()));
    }
    let gateway_nonce = random_text(NONCE_CHARS);
    let said =
        Transcript { owner_id, gateway_id, owner_nonce: &challenge.nonce, gateway_nonce: &gateway_nonce };
    let hello = Hello {
        protocol: PROTOCOL,
        gateway_id: gateway_id.to_owned(),
        nonce: gateway_nonce.clone(),
        proof: said.proof(key, "gateway"),
    };
    say(socket, &hello).await?;
    let welcome: Welcome = hear(socket).await?;
    if !welcome.proof.is_some_and(|proof| said.is_proof(key, "owner", &proof)) {
        return Err(LineError::WrongKey);
    }
    Ok(Keys { sending: said.key(key, "to owner"), receiving: said.key(key, "to gateway") })
}

async fn say(socket: &mut Socket, message: &impl Serialize) -> Result<(), LineError> {
    let text = serde_json::to_string(message).map_err(|_| LineError::Malformed)?;
    Ok(socket.send(Message::text(text)).await?)
}

async fn hear<T: DeserializeOwned>(socket: &mut Socket) -> Result<T, LineError> {
    loop {
        return match socket.next().await.ok_or(LineError::Closed)?? {
            Message::Text(text) => serde_json::from_str(&text).map_err(|_| LineError::Malformed),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => Err(LineError::Closed),
            Message::Binary(_) | Message::Frame(_) => Err(LineError::Malformed),
        };
    }
}

/// Carries batches both ways until either end has enough; says why it ended.
pub(super) async fn run<Out: Serialize, In: DeserializeOwned>(
    socket: Socket,
    keys: Keys,
    outgoing: impl Stream<Item = Vec<Out>>,
    incoming: impl AsyncFn(Vec<In>) -> Step,
) -> LineError {
    let Keys { mut sending, mut receiving } = keys;
    let (mut sink, mut source) = socket.split();
    // Apart, so that an end that does not read for a while is still listened to.
    let write = async {
        let mut outgoing = pin!(outgoing);
        let mut ping = tokio::time::interval(PING_EVERY);
        loop {
            let message = tokio::select! {
                batch = outgoing.next() => {
                    let Some(batch) = batch else { return LineError::Done };
                    match serde_json::to_vec(&batch) {
                        Ok(message) => Message::Binary(sending.close(message)),
                        Err(_) => return LineError::Malformed,
                    }
                }
                _ = ping.tick() => Message::Ping(Bytes::new()),
            };
            match tokio::time::timeout(SEND_WITHIN, sink.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return LineError::SlowReader,
            }
        }
    };
    let read = async {
        loop {
            let message = match tokio::time::timeout(SILENCE_MAX, source.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return error.into(),
                Ok(None) => return LineError::Closed,
                Err(_) => return LineError::Silent,
            };
            let batch = match message {
                Message::Binary(bytes) => match receiving.open(&bytes) {
                    Ok(message) => serde_json::from_slice(message),
                    Err(error) => return error,
                },
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return LineError::Closed,
                Message::Text(_) | Message::Frame(_) => return LineError::Malformed,
            };
            let Ok(batch) = batch else { return LineError::Malformed };
            if let Step::End = incoming(batch).await {
                return LineError::Done;
            }
        }
    };
    tokio::select! { ended = write => ended, ended = read => ended }
}

#[cfg(test)]
mod tests {
    use creel_control::secrets::Sealer;

    use super::*;

    #[test]
    fn a_message_opens_once_and_in_its_place() {
        let key = Sealer::from_base64(&Sealer::generate_base64()).unwrap().mac_key("test");
        let said = Transcript { owner_id: "o", gateway_id: "g", owner_nonce: "1", gateway_nonce: "2" };
        let (mut sending, mut receiving) = (said.key(&key, "to owner"), said.key(&key, "to owner"));
        let (first, second) = (sending.close(b"first".to_vec()), sending.close(b"second".to_vec()));
        assert!(said.key(&key, "to gateway").open(&first).is_err());
        assert!(receiving.open(&second).is_err());
        assert_eq!(receiving.open(&first).unwrap(), b"first");
        assert!(receiving.open(&first).is_err());
        let mut changed = second.to_vec();
        changed[0] ^= 1;
        assert!(receiving.open(&changed).is_err());
        assert_eq!(receiving.open(&second).unwrap(), b"second");
        assert!(matches!(receiving.open(b"short"), Err(LineError::Malformed)));
    }
}
