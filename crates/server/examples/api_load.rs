//! Calls ListDesktopAgentRuntime, signed, as fast as it is answered, and prints one JSON line of figures.
//!
//! `api_load <host:port> <access-key-id> <secret> <connections> <seconds> <query> [strangers]`; used by
//! `bench/lists.py`. With `strangers` every other call comes from an unknown key and the others have a wrong signature,
//! and all must be refused. Bounded in time; only ever pointed at a server on this machine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use creel_wire::secret::Secret;
use creel_wire::sign::{Acs3Call, sign_acs3};
use creel_wire::time::TimeFormat;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Clone)]
struct Target {
    address: String,
    key_id: String,
    secret: Secret,
    query: String,
    strangers: bool,
}

impl Target {
    /// Who signs a call with this nonce.
    fn signer(&self, number: usize, nonce: &str) -> (String, Secret) {
        match (self.strangers, number % 2) {
            (false, _) => (self.key_id.clone(), self.secret.clone()),
            (true, 0) => (format!("LTAI{nonce}"), self.secret.clone()),
            (true, _) => (self.key_id.clone(), Secret::new(nonce.to_owned())),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, key_id, secret, connections, seconds, query, mode @ ..] = args.as_slice() else {
        anyhow::bail!("usage: api_load HOST:PORT KEY-ID SECRET CONNECTIONS SECONDS QUERY [strangers]");
    };
    let target = Target {
        address: address.clone(),
        key_id: key_id.clone(),
        secret: Secret::new(secret.clone()),
        query: query.clone(),
        strangers: mode.iter().any(|word| word == "strangers"),
    };
    let duration = Duration::from_secs(seconds.parse::<u64>()?.min(60));
    let mut workers = JoinSet::new();
    for _ in 0..connections.parse::<usize>()?.min(256) {
        let target = target.clone();
        workers.spawn(async move { work(&target, duration).await });
    }
    let mut micros = Vec::new();
    while let Some(worked) = workers.join_next().await {
        micros.extend(worked??);
    }
    micros.sort_unstable();
    let at = |share: usize| micros.get(micros.len() * share / 100).copied().unwrap_or(0);
    let line = serde_json::json!({
        "requests": micros.len(), "seconds": duration.as_secs(), "p50_us": at(50), "p99_us": at(99),
    });
    #[expect(clippy::print_stdout, reason = "the figures are this program's output")]
    {
        println!("{line}");
    }
    Ok(())
}

/// One connection until the time is over; gives the time of each call in microseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator signs with the real time and drives its connection"
)]
async fn work(target: &Target, duration: Duration) -> anyhow::Result<Vec<u64>> {
    let stream = TcpStream::connect(&target.address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let started = Instant::now();
    let mut micros = Vec::new();
    while started.elapsed() < duration {
        let date = TimeFormat::Seconds.write(jiff::Timestamp::now());
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let call = Acs3Call {
            method: "POST",
            host: &target.address,
            version: "2021-09-01",
            action: "ListDesktopAgentRuntime",
            query: &target.query,
            body: b"",
            content_type: None,
            date: &date,
            nonce: &nonce,
            security_token: None,
        };
        let (key_id, secret) = target.signer(micros.len(), &nonce);
        let mut request = Request::post(format!("/?{}", target.query));
        for (name, value) in
            sign_acs3(&call, &key_id, &secret).map_err(|error| anyhow::anyhow!(error.message))?
        {
            request = request.header(name, value);
        }
        let begun = Instant::now();
        let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let expected = if target.strangers { status.is_client_error() } else { status.is_success() };
        anyhow::ensure!(expected, "answered {status}: {}", String::from_utf8_lossy(&body));
        micros.push(u64::try_from(begun.elapsed().as_micros())?);
    }
    Ok(micros)
}
