//! The server's side of the guest protocol, steered by a test.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_wire::guest::{
    DesiredState, EnrollRequest, EnrollResponse, FEATURE_SKILLS, PROTOCOL_VERSION, SKILL_FETCH_HEADER,
    SkillInventory, ToGuest, ToServer, hello_signing_input, skill_fetch_signing_input,
};
use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;
use ed25519_dalek::{Signature, VerifyingKey};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

pub(crate) const VIRTUAL_KEY: &str = "sk-virtual-of-the-test";

#[derive(Default)]
struct Inner {
    public_key: Option<String>,
    refuse_tokens: bool,
    epoch: i64,
    desired: Option<DesiredState>,
    to_send: VecDeque<ToGuest>,
    received: VecDeque<ToServer>,
    /// Apart, so that waiting for something else passes none over.
    inventories: VecDeque<SkillInventory>,
    /// Runtimes of links that were opened and not yet asked for.
    links: VecDeque<RuntimeId>,
    /// Links that are served now.
    open: usize,
    /// Archives of skills by the hash under which they are asked for.
    contents: BTreeMap<String, Vec<u8>>,
    fetches: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Here,
    /// Refuses and drops every link.
    Away,
    /// Keeps the links there are and does nothing with them; new ones work.
    Silent(u64),
}

struct Shared {
    /// No other test's: guests look after what is left of their own runtime.
    runtime_id: RuntimeId,
    inner: Mutex<Inner>,
    changed: Notify,
    arrived: Notify,
    mode: watch::Sender<Mode>,
    link_number: Mutex<u64>,
}

/// A server on a port of its own, gone with its value.
pub(crate) struct FakeServer {
    shared: Arc<Shared>,
    port: u16,
    _tasks: JoinSet<()>,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            runtime_id: RuntimeId::parse(&format!("ecd-guesttest-{}-{port}", std::process::id())).unwrap(),
            inner: Mutex::default(),
            changed: Notify::new(),
            arrived: Notify::new(),
            mode: watch::Sender::new(Mode::Here),
            link_number: Mutex::new(0),
        });
        let router = axum::Router::new()
            .route("/guest/v1/enroll", post(enroll))
            .route("/guest/v1/link", get(link))
            .route("/guest/v1/skills/{hash}", get(skill))
            .route("/v1/chat/completions", post(crate::model::completions))
            .route("/script", get(crate::model::script))
            .with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { shared, port, _tasks: tasks }
    }

    pub(crate) fn runtime_id(&self) -> &str {
        self.shared.runtime_id.as_str()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) {
        let _ = change(&mut self.shared.inner.lock().unwrap());
        self.shared.changed.notify_waiters();
    }

    pub(crate) fn set_desired(&self, desired: DesiredState) {
        self.change(|inner| inner.desired = Some(desired));
    }

    /// From now on an archive is what the server has under this hash.
    pub(crate) fn keep_content(&self, hash: &str, archive: Vec<u8>) {
        self.change(|inner| inner.contents.insert(hash.to_owned(), archive));
    }

    /// Takes inventories in their order until one is wanted, which stays: the next wait may want it too.
    pub(crate) async fn inventory(
        &self,
        patience: Duration,
        wanted: impl Fn(&SkillInventory) -> bool,
    ) -> SkillInventory {
        self.take(patience, |inner| {
            while let Some(seen) = inner.inventories.front() {
                if wanted(seen) {
                    return Some(seen.clone());
                }
                eprintln!("passed over: {seen:?}");
                inner.inventories.pop_front();
            }
            None
        })
        .await
    }

    pub(crate) fn forget_inventories(&self) {
        self.change(|inner| inner.inventories.clear());
    }

    pub(crate) fn fetches(&self) -> usize {
        self.shared.inner.lock().unwrap().fetches
    }

    pub(crate) fn set_epoch(&self, epoch: i64) {
        self.change(|inner| inner.epoch = epoch);
    }

    pub(crate) fn refuse_tokens(&self) {
        self.change(|inner| inner.refuse_tokens = true);
    }

    pub(crate) fn send(&self, message: ToGuest) {
        self.change(|inner| inner.to_send.push_back(message));
    }

    /// Returns when no link is left.
    pub(crate) async fn go_away(&self) {
        self.shared.mode.send_replace(Mode::Away);
        self.take(Duration::from_secs(60), |inner| (inner.open == 0).then_some(())).await;
        self.shared.inner.lock().unwrap().links.clear();
    }

    pub(crate) fn come_back(&self) {
        self.shared.mode.send_replace(Mode::Here);
    }

    pub(crate) fn fall_silent(&self) {
        self.shared.inner.lock().unwrap().links.clear();
        let newest = *self.shared.link_number.lock().unwrap();
        self.shared.mode.send_replace(Mode::Silent(newest));
    }

    /// Waits for the next link to be opened.
    pub(crate) async fn next_link(&self, patience: Duration) -> String {
        self.take(patience, |inner| inner.links.pop_front().map(|id| id.to_string())).await
    }

    /// Takes messages in their order until one is wanted.
    pub(crate) async fn wait<T>(&self, patience: Duration, wanted: impl Fn(&ToServer) -> Option<T>) -> T {
        self.take(patience, |inner| {
            while let Some(message) = inner.received.pop_front() {
                if let Some(found) = wanted(&message) {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    async fn take<T>(&self, patience: Duration, mut take: impl FnMut(&mut Inner) -> Option<T>) -> T {
        let taken = async {
            loop {
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(found) = take(&mut self.shared.inner.lock().unwrap()) {
                    return found;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(patience, taken).await.expect("the guest sends what the test waits for")
    }
}

async fn enroll(State(shared): State<Arc<Shared>>, Json(request): Json<EnrollRequest>) -> impl IntoResponse {
    let mut inner = shared.inner.lock().unwrap();
    let used = inner.public_key.is_some();
    if inner.refuse_tokens || used || request.token.expose() != "token-canary" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    inner.public_key = Some(request.public_key);
    Json(EnrollResponse {
        runtime_id: shared.runtime_id.clone(),
        virtual_key: Secret::new(VIRTUAL_KEY.to_owned()),
    })
    .into_response()
}

async fn link(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> impl IntoResponse {
    if *shared.mode.borrow() == Mode::Away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let served = async move |socket| {
        shared.inner.lock().unwrap().open += 1;
        serve(Arc::clone(&shared), socket).await;
        shared.inner.lock().unwrap().open -= 1;
        shared.arrived.notify_waiters();
    };
    upgrade.on_upgrade(served).into_response()
}

async fn send(socket: &mut WebSocket, message: &ToGuest) -> Result<(), axum::Error> {
    socket.send(Message::text(serde_json::to_string(message).unwrap())).await
}

/// Checks who asks as the real server must.
async fn skill(
    State(shared): State<Arc<Shared>>,
    Path(hash): Path<String>,
    headers: HeaderMap,
) -> impl IntoResponse {
    if *shared.mode.borrow() == Mode::Away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let header = headers[SKILL_FETCH_HEADER].to_str().unwrap();
    let [runtime_id, unix_s, signature] = header.split(':').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(runtime_id, shared.runtime_id.as_str());
    let mut inner = shared.inner.lock().unwrap();
    inner.fetches += 1;
    let key = STANDARD.decode(inner.public_key.as_ref().unwrap()).unwrap().try_into().unwrap();
    let input = skill_fetch_signing_input(&shared.runtime_id, &hash, unix_s.parse().unwrap());
    let signature = Signature::from_slice(&STANDARD.decode(signature).unwrap()).unwrap();
    VerifyingKey::from_bytes(&key).unwrap().verify_strict(&input, &signature).unwrap();
    match inner.contents.get(&hash) {
        Some(archive) => archive.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Checks the answer to the challenge as the real server must.
fn check_hello(shared: &Shared, hello: &str, nonce: &str) -> RuntimeId {
    let ToServer::Hello { protocol, runtime_id, boot_id, signature, features, .. } =
        serde_json::from_str(hello).unwrap()
    else {
        panic!("the first message is not a hello: {hello}");
    };
    assert_eq!(protocol, PROTOCOL_VERSION);
    assert!(features.iter().any(|feature| feature == FEATURE_SKILLS), "{features:?}");
    let key = shared.inner.lock().unwrap().public_key.clone().expect("enrolled before");
    let key = VerifyingKey::from_bytes(&STANDARD.decode(key).unwrap().try_into().unwrap()).unwrap();
    let signature = Signature::from_slice(&STANDARD.decode(signature).unwrap()).unwrap();
    key.verify_strict(&hello_signing_input(nonce, &runtime_id, &boot_id), &signature).unwrap();
    runtime_id
}

async fn serve(shared: Arc<Shared>, mut socket: WebSocket) {
    let nonce = "a nonce";
    let challenge = ToGuest::Challenge { protocol: PROTOCOL_VERSION, nonce: nonce.to_owned() };
    if send(&mut socket, &challenge).await.is_err() {
        return;
    }
    let Some(Ok(Message::Text(hello))) = socket.recv().await else { return };
    let runtime_id = check_hello(&shared, &hello, nonce);
    let number = {
        let mut number = shared.link_number.lock().unwrap();
        *number += 1;
        *number
    };
    let epoch = {
        let mut inner = shared.inner.lock().unwrap();
        inner.links.push_back(runtime_id);
        inner.epoch
    };
    shared.arrived.notify_waiters();
    if send(&mut socket, &ToGuest::Welcome { epoch }).await.is_err() {
        return;
    }
    let mut mode = shared.mode.subscribe();
    // A change between the upgrade and here must not be missed.
    mode.mark_changed();
    let mut sent: Option<DesiredState> = None;
    loop {
        let changed = shared.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (desired, messages) = {
            let mut inner = shared.inner.lock().unwrap();
            (inner.desired.clone(), std::mem::take(&mut inner.to_send))
        };
        if desired != sent {
            if let Some(desired) = &desired
                && send(&mut socket, &ToGuest::Desired(Box::new(desired.clone()))).await.is_err()
            {
                return;
            }
            sent = desired;
        }
        for message in messages {
            if send(&mut socket, &message).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = changed => {}
            _ = mode.changed() => {
                let mode = *mode.borrow_and_update();
                match mode {
                    Mode::Away => return,
                    Mode::Silent(last) if number <= last => return std::future::pending().await,
                    Mode::Here | Mode::Silent(_) => {}
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let mut inner = shared.inner.lock().unwrap();
                    match serde_json::from_str(&text).unwrap() {
                        ToServer::Skills(inventory) => inner.inventories.push_back(inventory),
                        message => inner.received.push_back(message),
                    }
                    drop(inner);
                    shared.arrived.notify_waiters();
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
