//! Connections to upstreams, against a server of bare bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::UpstreamClient;

const WHOLE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// What is sent at once stands between bars.
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n|3\r\nabc\r\n|2\r\nde|\r\n0\r\n\r\n";
const LONG: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n|abc";

/// Answers as many requests on each connection as it is given answers, and then closes it.
struct Server {
    address: String,
    connections: Arc<AtomicUsize>,
    heads: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Server {
    async fn start(answers: &'static [&'static [&'static str]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/base", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (told, heads) = tokio::sync::mpsc::unbounded_channel();
        let count = connections.clone();
        tokio::task::spawn_local(async move {
            for answers in answers {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::task::spawn_local(serve(stream, answers, told.clone()));
            }
        });
        Self { address, connections, heads }
    }

    fn request(&self, body: &'static str) -> Request<Full<Bytes>> {
        Request::post(&self.address).body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn serve(
    mut stream: TcpStream,
    answers: &'static [&'static str],
    told: tokio::sync::mpsc::UnboundedSender<String>,
) {
    for answer in answers {
        let head = head_of(&mut stream).await;
        let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        told.send(head).unwrap();
        for piece in answer.split('|') {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

async fn on_one_thread(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

async fn text(client: &UpstreamClient, request: Request<Full<Bytes>>) -> String {
    let answer = client.send(request).await.unwrap();
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn one_connection_serves_calls_one_after_another() {
    on_one_thread(async {
        let mut server = Server::start(&[&[WHOLE, CHUNKED, WHOLE]]).await;
        let client = UpstreamClient::new(Duration::from_secs(5)).unwrap();
        assert_eq!(text(&client, server.request("one")).await, "ok");
        assert_eq!(text(&client, server.request("two")).await, "abcde");
        assert_eq!(text(&client, server.request("three")).await, "ok");
        assert_eq!(server.connections(), 1);
        let head = server.heads.recv().await.unwrap();
        let host = server.address.trim_start_matches("http://").trim_end_matches("/base");
        assert!(head.starts_with("POST /base HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    on_one_thread(async {
        let server = Server::start(&[&[WHOLE], &[WHOLE]]).await;
        let client = UpstreamClient::new(Duration::from_secs(5)).unwrap();
        assert_eq!(text(&client, server.request("one")).await, "ok");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(text(&client, server.request("two")).await, "ok");
        assert_eq!(server.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_takes_its_connection_along() {
    on_one_thread(async {
        let server = Server::start(&[&[LONG], &[WHOLE]]).await;
        let client = UpstreamClient::new(Duration::from_secs(5)).unwrap();
        let mut answer = client.send(server.request("one")).await.unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        drop(answer);
        assert_eq!(text(&client, server.request("two")).await, "ok");
        assert_eq!(server.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_fails() {
    on_one_thread(async {
        let server = Server::start(&[&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"], &[""]]).await;
        let client = UpstreamClient::new(Duration::from_secs(5)).unwrap();
        let answer = client.send(server.request("one")).await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
        // Written and not answered: it may have been acted upon, so it is not sent again.
        assert!(client.send(server.request("two")).await.is_err());
        assert_eq!(server.connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_idle_for_long_is_closed() {
    on_one_thread(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let client = UpstreamClient::new(Duration::from_secs(5)).unwrap();
        let peer = tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            assert!(stream.read(&mut bytes).await.unwrap() > 0);
            stream.write_all(WHOLE.as_bytes()).await.unwrap();
            stream.read(&mut bytes).await.unwrap()
        });
        let request = Request::post(&address).body(Full::new(Bytes::new())).unwrap();
        assert_eq!(text(&client, request).await, "ok");
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(26)).await;
        tokio::task::yield_now().await;
        assert!(!peer.is_finished());
        tokio::time::advance(Duration::from_secs(26)).await;
        assert_eq!(peer.await.unwrap(), 0, "its end");
    })
    .await;
}

/// Larger than what sockets hold.
const LARGE: usize = 16 << 20;

/// What a client gets that sends a large request to a peer that does this once it has the head, and what that gives.
async fn sent_large<F: Future + 'static>(peer: impl FnOnce(TcpStream) -> F + 'static) -> (String, F::Output) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let peer = tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head_of(&mut stream).await;
        peer(stream).await
    });
    let client = UpstreamClient::new(Duration::from_secs(5)).unwrap();
    let request = Request::post(&address).body(Full::new(Bytes::from(vec![b'x'; LARGE]))).unwrap();
    (text(&client, request).await, peer.await.unwrap())
}

#[tokio::test]
async fn a_refusal_is_heard_before_all_is_sent() {
    on_one_thread(async {
        let (heard, sent) = sent_large(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
            let mut rest = Vec::new();
            // Reset or ended: the rest is not sent.
            let _ = stream.read_to_end(&mut rest).await;
            rest.len()
        })
        .await;
        assert_eq!(heard, "no");
        assert!(sent < LARGE);
    })
    .await;
}

#[tokio::test]
async fn a_request_is_sent_in_full_though_its_answer_begins_before() {
    on_one_thread(async {
        let (heard, sent) = sent_large(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            let mut body = vec![0; LARGE];
            stream.read_exact(&mut body).await.unwrap();
            stream.write_all(b"ok").await.unwrap();
            body
        })
        .await;
        assert_eq!(heard, "ok");
        assert!(sent.iter().all(|byte| *byte == b'x'));
    })
    .await;
}
