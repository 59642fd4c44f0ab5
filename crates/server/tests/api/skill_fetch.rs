//! What guests are told that fetch skills when others do.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_control::clock::Clock;
use creel_control::object::Objects;
use creel_control::store::{StoreError, params};
use creel_testkit::{TestStore, both_databases};
use creel_wire::guest::{SKILL_FETCH_HEADER, skill_fetch_signing_input};
use creel_wire::id::RuntimeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::caller::Caller;
use crate::guest::Guest;
use crate::harness::TestApp;

/// As `guest_link/fetches.rs` has them.
const RUNNING_MAX: usize = 64;
const OF_ONE_MAX: usize = 4;
/// More than the sockets between a server and a guest that takes nothing hold.
const CONTENT_BYTES: i64 = 24 << 20;
const SKILL: &str = "s-00000000000000000001";

/// A published skill of that many bytes among the objects, which every runtime there is may have. Its content hash.
async fn published(t: &TestStore, app: &TestApp) -> String {
    let content_hash = "ab".repeat(32);
    let folder = app.data_dir.path().join("objects");
    let (store, ids, sealer, tasks) = (t.store.clone(), t.ids.clone(), t.sealer.clone(), t.tasks.clone());
    let objects = Objects::in_directory(&folder, store, ids, sealer, tasks).unwrap();
    let content = vec![7; usize::try_from(CONTENT_BYTES).unwrap()];
    objects.put_skill(&content_hash, content.into()).await.unwrap();
    let hash = content_hash.clone();
    // Nobody scans it before the end of time.
    let written: Result<u64, StoreError> = t
        .store
        .write(move |tx| {
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO skill (id, account_id, slug, channel, display_name, description, author, enabled,
                         current_version, created_at_ms)
                     SELECT $1, MIN(id), 'fish', 'BUSINESS', 'Fish', 'Tells a fish.', 'root', 1, '1.0.0', 1 FROM account",
                    params![SKILL],
                )
                .await?;
                tx.execute(
                    "INSERT INTO skill_version (skill_id, account_id, version, content_hash, content_bytes,
                         manifest_json, change_log, publish_status, scan_status, scan_reason, scan_rules,
                         scan_until_ms, scan_attempts, uploaded_by, uploaded_from, package_hash, source, created_at_ms)
                     SELECT id, account_id, '1.0.0', $2, $3, '{}', '', 'PUBLISHED', 'PASSED', '', '', $4, 0, 'root', '', '',
                         'upload', 1 FROM skill WHERE id = $1",
                    params![SKILL, hash, CONTENT_BYTES, i64::MAX],
                )
                .await?;
                tx.execute(
                    "INSERT INTO skill_auth (skill_id, identity_kind, identity_id, account_id, auto_install,
                         created_at_ms)
                     SELECT $1, 'Runtime', id, account_id, 0, 1 FROM runtime",
                    params![SKILL],
                )
                .await
            })
        })
        .await;
    written.unwrap();
    content_hash
}

/// Asks for the content as a guest does and reads the head of the answer, and nothing of the rest.
async fn fetch(
    t: &TestStore,
    app: &TestApp,
    guest: &Guest,
    runtime: &str,
    hash: &str,
) -> (String, TcpStream) {
    let runtime = RuntimeId::parse(runtime).unwrap();
    let unix_s = t.clock.now().as_second();
    let signature = STANDARD.encode(guest.sign(&skill_fetch_signing_input(&runtime, hash, unix_s)));
    let host = app.server.agent_url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "GET /guest/v1/skills/{hash} HTTP/1.1\r\nhost: {host}\r\n\
         {SKILL_FETCH_HEADER}: {runtime}:{unix_s}:{signature}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(Duration::from_secs(20), stream.read_u8()).await;
        head.push(byte.expect("the server answers").unwrap());
    }
    (String::from_utf8(head).unwrap().to_lowercase(), stream)
}

both_databases! {
    async fn who_comes_when_as_many_fetch_as_may_is_told_to_ask_again(t) {
        let app = TestApp::start(&t).await;
        let root = Caller::root(&app);
        let ids = root.desktops(&root.office_site().await, "17").await;
        let hash = published(&t, &app).await;
        let mut guests = Vec::new();
        for id in &ids {
            guests.push((Guest::link(&t, &app, id, true).await, id.as_str()));
        }
        let (last, last_id) = guests.pop().unwrap();
        let mut under_way = Vec::new();
        for (guest, id) in &guests {
            for number in 0..=OF_ONE_MAX {
                let (head, stream) = fetch(&t, &app, guest, id, &hash).await;
                if number == OF_ONE_MAX {
                    assert!(head.starts_with("http/1.1 503 "), "one guest has a bound of its own: {head}");
                } else {
                    assert!(head.starts_with("http/1.1 200 "), "{head}");
                    assert!(head.contains(&format!("content-length: {CONTENT_BYTES}\r\n")), "{head}");
                    under_way.push(stream);
                }
            }
        }
        assert_eq!(under_way.len(), RUNNING_MAX);
        let (head, mut refused) = fetch(&t, &app, &last, last_id, &hash).await;
        assert!(head.starts_with("http/1.1 503 ") && head.contains("retry-after: 1\r\n"), "{head}");
        let mut text = vec![0; 200];
        let read = refused.read(&mut text).await.unwrap();
        assert!(String::from_utf8_lossy(&text[..read]).contains("ask again"));
        // One that goes away makes room for another.
        under_way.pop();
        let again = async {
            loop {
                let (head, _) = fetch(&t, &app, &last, last_id, &hash).await;
                if head.starts_with("http/1.1 200 ") {
                    return;
                }
                assert!(head.starts_with("http/1.1 503 "), "{head}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.expect("there is room again");
    }
}
