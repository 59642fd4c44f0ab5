//! Connections: TLS on both listeners, and the end of a server while clients hold theirs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use creel::config::{Config, DriverKind};
use creel::serve::Server;
use creel_control::clock::SystemClock;
use creel_testkit::{Database, open};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::TestApp;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

async fn first_line(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> String {
    stream.write_all(request).await.expect("sends");
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(line).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_listeners_speak_tls_if_told_so() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    // The key is in this repository, so it protects nothing: never use it but here.
    let pem = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/api/tls").join(name);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        data_dir: folder.path().to_path_buf(),
        admin_listen: any,
        agent_listen: any,
        driver: DriverKind::None,
        tls_cert: Some(pem("cert.pem")),
        tls_key: Some(pem("key.pem")),
        ..Config::default()
    };
    let server = Server::start(config, Arc::new(SystemClock)).await.expect("starts");
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(pem("cert.pem")).expect("a certificate");
    roots.add(certificate).expect("a certificate that may be trusted");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    for (url, status) in [(server.admin_url(), "200"), (server.agent_url(), "404")] {
        let host = url.strip_prefix("https://").expect("the URL says so");
        let stream = TcpStream::connect(host).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        let line = first_line(&mut stream, HEALTH).await;
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{line}");
    }
    assert_eq!(server.shutdown().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hold_connections_do_not_hold_up_the_end() {
    let t = open(Database::Sqlite).await;
    let app = TestApp::start(&t).await;
    let mut used = TcpStream::connect(app.host()).await.expect("connects");
    assert!(first_line(&mut used, HEALTH).await.starts_with("HTTP/1.1 200 "));
    let silent = TcpStream::connect(app.host()).await.expect("connects");
    let mut begun = TcpStream::connect(app.host()).await.expect("connects");
    begun.write_all(b"P").await.expect("sends");
    let ended = tokio::time::timeout(Duration::from_secs(10), app.server.shutdown()).await;
    assert_eq!(ended, Ok(0), "no connection was waited for");
    drop((used, silent, begun));
}
