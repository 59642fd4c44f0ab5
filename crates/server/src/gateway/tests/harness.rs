//! A gateway on a real socket between a scripted upstream and a client, with a ledger that remembers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use creel_control::clock::FixedClock;
use creel_control::model::ProviderApi;
use creel_control::tasks::Tasks;
use creel_llm::price::RateCard;
use creel_llm::usage::Usage;
use creel_wire::id::{AccountId, ProviderId, RuntimeId};
use creel_wire::money::Micros;
use creel_wire::secret::Secret;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::gateway::observe::Observer;
use crate::gateway::ports::*;
use crate::gateway::{Gateway, Limits};

pub(super) const AGENT_KEY: &str = "vk-agent";
pub(super) const PERSON_KEY: &str = "vk-person";
/// Must be seen by the upstream and by nobody else.
pub(super) const REAL_KEY: &str = "sk-canary-7d1f0c4e9b";

pub(super) const CARD: RateCard = RateCard {
    input: 200_000,
    cached_input: 20_000,
    cache_write: 200_000,
    output: 1_200_000,
    multiplier_micros: 1_000_000,
};

/// What the fake upstream does, in order, after it has read a request.
#[derive(Clone)]
pub(super) enum Step {
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes them as one HTTP chunk.
    Chunk(Vec<u8>),
    /// Waits until the test says so.
    Wait(Arc<Notify>),
}

/// A request as the upstream saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
}

/// An upstream on loopback that follows a script, the same for each request.
#[derive(Clone)]
pub(super) struct FakeUpstream {
    pub(super) address: SocketAddr,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeUpstream {
    pub(super) async fn start(tasks: &Tasks, script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let upstream = Self { address, seen };
        let (accepting, stop, spawner) = (upstream.clone(), tasks.cancelled(), tasks.clone());
        tasks.spawn("upstream", async move {
            loop {
                let accepted = tokio::select! { a = listener.accept() => a, () = stop.cancelled() => return };
                let (stream, _) = accepted.expect("a connection");
                let (serving, script) = (accepting.clone(), script.clone());
                spawner.spawn("upstream.connection", async move {
                    let _ = serving.serve(stream, script).await;
                });
            }
        });
        upstream
    }

    async fn serve(&self, mut stream: TcpStream, script: Vec<Step>) -> io::Result<()> {
        let mut gathered = Vec::new();
        loop {
            let Some(request) = take_request(&mut gathered) else {
                let mut part = [0; 4096];
                match stream.read(&mut part).await? {
                    0 => return Ok(()),
                    length => gathered.extend_from_slice(&part[..length]),
                }
                continue;
            };
            self.seen.lock().expect("unpoisoned").push(request);
            let mut ended = false;
            for step in &script {
                match step {
                    Step::Write(bytes) => stream.write_all(bytes).await?,
                    Step::Chunk(bytes) => {
                        stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
                        stream.write_all(bytes).await?;
                        stream.write_all(b"\r\n").await?;
                        ended = bytes.is_empty();
                    }
                    Step::Wait(notify) => notify.notified().await,
                }
            }
            let whole = script.iter().any(|step| matches!(step, Step::Write(b) if b.starts_with(b"HTTP/1.1") && find(b, b"content-length").is_some()));
            if !ended && !whole {
                return Ok(());
            }
        }
    }

    pub(super) fn calls(&self) -> usize {
        self.seen.lock().expect("unpoisoned").len()
    }

    pub(super) fn last(&self) -> Seen {
        self.seen.lock().expect("unpoisoned").last().expect("a request").clone()
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn take_request(gathered: &mut Vec<u8>) -> Option<Seen> {
    let head_end = find(gathered, b"\r\n\r\n")? + 4;
    let head = String::from_utf8(gathered[..head_end].to_vec()).expect("text").to_lowercase();
    let length: usize =
        head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().expect("a length");
    if gathered.len() < head_end + length {
        return None;
    }
    let body = String::from_utf8(gathered[head_end..head_end + length].to_vec()).expect("text");
    let original = String::from_utf8(gathered[..head_end].to_vec()).expect("text");
    gathered.drain(..head_end + length);
    Some(Seen { head: original, body })
}

/// The head of a stream.
pub(super) fn stream_head() -> Step {
    Step::Write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nset-cookie: a=b\r\nx-request-id: up-1\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

/// A whole answer.
pub(super) fn answer(status: u16, body: &str) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    vec![Step::Write(head.into_bytes())]
}

/// What the ledger was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Booked {
    Reserved { bound: Usage, model: String, billed: bool },
    Settled { usage: Usage, source: UsageSource },
    Released,
}

/// A ledger that remembers.
#[derive(Debug, Clone)]
pub(super) struct FakeBilling {
    pub(super) refuse: Option<Refusal>,
    pub(super) remaining: Option<Micros>,
    pub(super) booked: watch::Sender<Vec<Booked>>,
    /// A settlement waits for it, where there is one.
    pub(super) gate: Option<Arc<Notify>>,
}

impl Default for FakeBilling {
    fn default() -> Self {
        Self { refuse: None, remaining: None, booked: watch::Sender::new(Vec::new()), gate: None }
    }
}

impl FakeBilling {
    fn book(&self, what: Booked) {
        self.booked.send_modify(|booked| booked.push(what));
    }

    /// Waits until this many entries stand.
    pub(super) async fn after(&self, count: usize) -> Vec<Booked> {
        let mut receiver = self.booked.subscribe();
        let wait = receiver.wait_for(|booked| booked.len() >= count);
        let limit = std::time::Duration::from_secs(20);
        tokio::time::timeout(limit, wait).await.expect("in time").expect("a sender").clone()
    }
}

impl Billing for FakeBilling {
    type Held = Micros;
    type Error = io::Error;

    async fn reserve(&self, start: &CallStart) -> Result<Micros, Refusal> {
        match self.refuse {
            Some(refusal) => Err(refusal),
            None => {
                let CallStart { bound, model_code, billed, card, .. } = start;
                self.book(Booked::Reserved { bound: *bound, model: model_code.to_string(), billed: *billed });
                let cost = card.map_or(Micros(0), |card| card.cost(bound));
                Ok(self.remaining.map_or(cost, |remaining| cost.min(remaining)))
            }
        }
    }

    fn held(held: &Micros) -> Micros {
        *held
    }

    async fn settle(&self, _: Micros, usage: Usage, source: UsageSource) -> Result<Micros, io::Error> {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.book(Booked::Settled { usage, source });
        Ok(CARD.cost(&usage))
    }

    async fn release(&self, _: Micros) {
        self.book(Booked::Released);
    }
}

/// Everything together.
pub(super) struct House {
    pub(super) tasks: Tasks,
    pub(super) upstream: FakeUpstream,
    pub(super) billing: FakeBilling,
    pub(super) gateway: Arc<Gateway<FakeBilling>>,
    pub(super) address: SocketAddr,
    pub(super) clock: Arc<FixedClock>,
}

/// A target with [`REAL_KEY`].
pub(super) fn target(provider: &str, api: ProviderApi, key_name: &str, base_url: &str) -> Arc<Target> {
    let key = UpstreamKey::clear(Secret::new(REAL_KEY.into()));
    Arc::new(Target::new(provider, api, key_name, None, base_url, Some(key)).expect("an address"))
}

fn provider(name: &str, api: ProviderApi, base_url: &str, codes: &[&str]) -> Arc<Provider> {
    provider_at(name, api, vec![(target(name, api, "", base_url), 1)], codes)
}

pub(super) fn provider_at(
    name: &str,
    api: ProviderApi,
    targets: Vec<(Arc<Target>, u32)>,
    codes: &[&str],
) -> Arc<Provider> {
    let model = |code: &&str| Model {
        code: Arc::from(*code),
        name: code.to_uppercase().into(),
        context_tokens_max: Some(200_000),
        output_tokens_max: Some(8_192),
        card: Some(CARD),
        smart: None,
    };
    Arc::new(Provider {
        id: ProviderId::parse(&format!("mpt-{name}")).expect("an id"),
        name: name.into(),
        upstream: Upstream::new(api, targets),
        billed: true,
        models: codes.iter().map(model).map(Arc::new).collect(),
    })
}

/// Providers of each kind, all at the same address: `one` and `two` speak chat completions, `claude` messages and
/// `resp` responses.
pub(super) fn group(base_url: &str) -> Group {
    use ProviderApi::{AnthropicMessages, OpenAiCompletions, OpenAiResponses};
    Group::new(vec![
        provider("one", OpenAiCompletions, base_url, &["m", "both", "a/b"]),
        provider("two", OpenAiCompletions, base_url, &["both"]),
        provider("claude", AnthropicMessages, base_url, &["c"]),
        provider("resp", OpenAiResponses, base_url, &["r"]),
    ])
}

/// Keys that open a group.
pub(super) fn snapshot(group: Group) -> Snapshot {
    let group = Arc::new(group);
    let access = |key_kind, bound: bool| {
        Arc::new(AgentAccess {
            account: AccountId::parse("1000000000000001").expect("an id"),
            runtime: RuntimeId::parse("ecd-1").expect("an id"),
            key_kind,
            limits: creel_control::call_limit::Limits::default(),
            capture: None,
            group: bound.then(|| group.clone()),
        })
    };
    let by_key = hashbrown::HashMap::from([
        (KeyHash::of(AGENT_KEY), access(KeyKind::Agent, true)),
        (KeyHash::of(PERSON_KEY), access(KeyKind::Person, true)),
        (KeyHash::of("vk-bare"), access(KeyKind::Person, false)),
    ]);
    Snapshot { by_key }
}

impl House {
    pub(super) async fn open(script: Vec<Step>) -> Self {
        Self::with(script, FakeBilling::default(), Limits::default()).await
    }

    pub(super) async fn with(script: Vec<Step>, billing: FakeBilling, limits: Limits) -> Self {
        let tasks = Tasks::new();
        let upstream = FakeUpstream::start(&tasks, script).await;
        Self::at(tasks, upstream.clone(), &format!("http://{}/v1/", upstream.address), billing, limits).await
    }

    pub(super) async fn at(
        tasks: Tasks,
        upstream: FakeUpstream,
        base_url: &str,
        billing: FakeBilling,
        limits: Limits,
    ) -> Self {
        let directory = Directory::new();
        directory.replace(snapshot(group(base_url)));
        Self::of(tasks, upstream, directory, billing, limits).await
    }

    /// Tells `observer` of its calls.
    pub(super) async fn observed(script: Vec<Step>, billing: FakeBilling, observer: Observer) -> Self {
        let tasks = Tasks::new();
        let upstream = FakeUpstream::start(&tasks, script).await;
        let directory = Directory::new();
        directory.replace(snapshot(group(&format!("http://{}/v1/", upstream.address))));
        Self::with_all(tasks, upstream, directory, billing, Limits::default(), observer).await
    }

    pub(super) async fn of(
        tasks: Tasks,
        upstream: FakeUpstream,
        directory: Directory,
        billing: FakeBilling,
        limits: Limits,
    ) -> Self {
        Self::with_all(tasks, upstream, directory, billing, limits, Observer::default()).await
    }

    async fn with_all(
        tasks: Tasks,
        upstream: FakeUpstream,
        directory: Directory,
        billing: FakeBilling,
        limits: Limits,
        observer: Observer,
    ) -> Self {
        let directory = Arc::new(directory);
        let clock = Arc::new(FixedClock::at(jiff::Timestamp::from_second(1_790_000_000).expect("a time")));
        let gateway = Gateway::new(
            directory,
            billing.clone(),
            tasks.clone(),
            clock.clone(),
            limits,
            Arc::new(observer),
        )
        .expect("a client");
        let gateway = Arc::new(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (served, stop, spawner) = (gateway.clone(), tasks.cancelled(), tasks.clone());
        tasks.spawn("front", async move {
            loop {
                let accepted = tokio::select! { a = listener.accept() => a, () = stop.cancelled() => return };
                let (stream, _) = accepted.expect("a connection");
                let gateway = served.clone();
                let service = hyper::service::service_fn(move |request| {
                    let gateway = gateway.clone();
                    async move { Ok::<_, std::convert::Infallible>(gateway.handle(request).await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let connection = http.serve_connection(TokioIo::new(stream), service);
                spawner.spawn("front.connection", async move {
                    let _ = connection.await;
                });
            }
        });
        Self { tasks, upstream, billing, gateway, address, clock }
    }

    /// Sends a request on a connection of its own.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let http = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = http.await.expect("a handshake");
        self.tasks.spawn("client.connection", async move {
            let _ = connection.await;
        });
        sender.send_request(request).await.expect("an answer")
    }

    /// Posts a request.
    pub(super) async fn ask(&self, path: &str, key: &str, body: impl Into<String>) -> Response<Incoming> {
        self.send(post(path, key, body)).await
    }

    /// Posts a chat completion request.
    pub(super) async fn chat(&self, key: &str, body: impl Into<String>) -> Response<Incoming> {
        self.send(chat_request(key, body)).await
    }
}

pub(super) fn chat_request(key: &str, body: impl Into<String>) -> Request<Full<Bytes>> {
    post("/v1/chat/completions", key, body)
}

pub(super) fn post(path: &str, key: &str, body: impl Into<String>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "gateway")
        .header("authorization", format!("Bearer {key}"))
        .header("traceparent", "00-1-2-01")
        .header("x-creel-canary", "of-our-own")
        .header("cookie", "of-the-client")
        .body(Full::new(Bytes::from(body.into())))
        .expect("a request")
}

/// Status and text of an answer.
pub(super) async fn text(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}
