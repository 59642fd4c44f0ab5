//! Too much of anything, and the paths beside the API.

use creel_testkit::{Database, open};
use http::Request;
use http_body_util::Full;

use crate::harness::{READ, TestApp};

async fn app() -> (TestApp, creel_testkit::TestStore) {
    let t = open(Database::Sqlite).await;
    (TestApp::start(&t).await, t)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_body_is_refused_in_the_documented_form() {
    let (app, _t) = app().await;
    let mut call = app.call(READ);
    call.form = format!("A={}", "x".repeat(1 << 20));
    app.send(call.acs3()).await.assert_refused(413, "RequestEntityTooLarge");
    // So much that a client which sends all before it reads would see a reset if the server just hung up.
    call.form = format!("A={}", "x".repeat(12 << 20));
    app.send(call.acs3()).await.assert_refused(413, "RequestEntityTooLarge");
    call.form = format!("A={}", "x".repeat((1 << 20) - 2));
    app.send(call.acs3()).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_query_is_taken_up_to_its_limit_and_refused_in_the_documented_form_above() {
    let (app, _t) = app().await;
    app.get(READ, &format!("A={}", "x".repeat(63_998))).await.assert_ok();
    app.get(READ, &format!("A={}", "x".repeat(63_999))).await.assert_refused(414, "RequestQueryTooLong");
    let mut call = app.call(READ);
    call.query = format!("A={}", "x".repeat(63_999));
    app.send_http2(call.acs3()).await.assert_refused(414, "RequestQueryTooLong");
}

/// Longer than any client of ours can make it: written by hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_never_become_a_request_are_refused_in_the_documented_form() {
    let (app, _t) = app().await;
    let query = format!("GET /?A={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000));
    let headers = format!("GET / HTTP/1.1\r\nhost: x\r\nx-much: {}\r\n\r\n", "x".repeat(4_000_000));
    for (head, status, code) in [
        (query, 414, "RequestQueryTooLong"),
        (headers, 431, "RequestHeadersTooLarge"),
        ("nonsense\r\n\r\n".to_owned(), 400, "InvalidRequest"),
    ] {
        let text = exchange(app.host(), head.as_bytes()).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        let (_, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["Code"], code);
        assert_eq!(body["RequestId"].as_str().map(str::len), Some(36));
    }
}

/// Sends bytes and reads until the server closes.
async fn exchange(host: &str, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connects");
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_metrics_and_nothing_else_are_beside_the_api() {
    let (app, _t) = app().await;
    app.get(READ, "").await.assert_ok();
    app.get(("2020-09-30", "LTAIsecretlooking"), "").await.assert_refused(404, "InvalidApi.NotFound");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    for path in ["/healthz", "/readyz"] {
        assert!(exchange(app.host(), get(path).as_bytes()).await.starts_with("HTTP/1.1 200 "), "{path}");
    }
    let metrics = exchange(app.host(), get("/metrics").as_bytes()).await;
    assert!(
        metrics.contains(r#"creel_api_requests_total{action="DescribeAgentMessages",outcome="Success"} 1"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"creel_api_requests_total{action="unknown",outcome="ClientError"} 1"#),
        "{metrics}"
    );
    assert!(!metrics.contains("LTAIsecretlooking"));

    for base in [app.server.admin_url(), app.server.agent_url()] {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = format!("{base}/nothing/here").parse().expect("a URI");
        app.send(request).await.assert_refused(404, "InvalidPath.NotFound");
    }
}
