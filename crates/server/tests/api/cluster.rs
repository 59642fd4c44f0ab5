//! What strangers get where gateways ask the ledger's owner. The real thing, with real processes: tests/test_cluster.py.

use std::time::Duration;

use creel_testkit::{Database, open};
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::TestApp;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(app: &TestApp) -> (Socket, Value) {
    let url = format!("ws://{}/cluster/v1/ledger", app.host());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let challenge = hear(&mut socket).await.unwrap();
    (socket, serde_json::from_str(&challenge).unwrap())
}

/// The next text; `None` once the server has closed.
async fn hear(socket: &mut Socket) -> Option<String> {
    loop {
        let next =
            tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("an answer or an end");
        match next {
            Some(Ok(Message::Text(text))) => return Some(text.to_string()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_have_the_master_key_is_told_nothing() {
    let t = open(Database::Postgres).await;
    let app = TestApp::start(&t).await;
    let (_socket, first) = connect(&app).await;
    let (mut socket, challenge) = connect(&app).await;
    assert_eq!(challenge["protocol"], 1);
    assert_ne!(challenge["nonce"], first["nonce"]);
    let hello = |proof: &str| {
        let hello = json!({"protocol": 1, "gateway_id": "stranger", "nonce": "n", "proof": proof});
        Message::text(hello.to_string())
    };
    socket.send(hello(&"ab".repeat(32))).await.unwrap();
    assert_eq!(hear(&mut socket).await.as_deref(), Some(r#"{"proof":null}"#));
    assert_eq!(hear(&mut socket).await, None);
    for nonsense in [
        Message::text("{}"),
        Message::binary(vec![1, 2, 3]),
        hello("not hexadecimal"),
        hello(""),
        Message::text(json!({"protocol": 9, "gateway_id": "g", "nonce": "n", "proof": ""}).to_string()),
        Message::text(
            json!({"protocol": 1, "gateway_id": "g".repeat(99), "nonce": "n", "proof": ""}).to_string(),
        ),
    ] {
        let (mut socket, _) = connect(&app).await;
        socket.send(nonsense.clone()).await.unwrap();
        let answer = hear(&mut socket).await;
        assert!(
            answer.is_none() || answer.as_deref() == Some(r#"{"proof":null}"#),
            "{nonsense:?}: {answer:?}"
        );
    }
    // Without a switch of protocols there is nothing there.
    let url = format!("http://{}/cluster/v1/ledger", app.host());
    let client =
        hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let plain =
        client.request(Request::get(url).body(Full::<bytes::Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(plain.status(), 426);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_files_is_nobody_elses_to_ask() {
    let t = open(Database::Sqlite).await;
    let app = TestApp::start(&t).await;
    let url = format!("http://{}/cluster/v1/ledger", app.host());
    let answer = app.send(Request::get(url).body(Full::default()).unwrap()).await;
    assert_eq!((answer.status, answer.body["Code"].as_str()), (404, Some("InvalidPath.NotFound")));
}
