//! Alerts of quotas that near their end, as the operator's webhook gets them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use creel::config::WebhookConfig;
use creel_control::store::params;
use creel_testkit::{TestStore, both_databases};
use creel_wire::secret::Secret;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::caller::Caller;
use crate::harness::TestApp;

/// A webhook that answers with the status it is told to; its address and what it gets.
async fn webhook(
    t: &TestStore,
    status: Arc<AtomicU16>,
) -> (String, mpsc::UnboundedReceiver<(HeaderMap, Value)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let app = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
        // Before the test learns of it and changes the status.
        let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
        sender.send((headers, serde_json::from_str(&body).unwrap())).unwrap();
        status
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts", listener.local_addr().unwrap());
    let stop = t.tasks.cancelled();
    t.tasks.spawn("webhook", async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        served.await.unwrap();
    });
    (url, receiver)
}

/// Puts down what a runtime has used this month.
async fn use_up(t: &TestStore, runtime: &str, micros: i64) {
    let month = creel_control::ledger::month_of(creel_control::clock::Clock::now_ms(t.clock.as_ref()));
    let runtime = runtime.to_owned();
    let written: Result<u64, creel_control::store::StoreError> = t
        .store
        .write(move |tx| {
            Box::pin(async move {
                let sql = "INSERT INTO usage_month (subject_id, month, used_micros) VALUES ($1, $2, $3)";
                tx.execute(sql, params![&runtime, month, micros]).await
            })
        })
        .await;
    written.unwrap();
}

both_databases! {
    async fn an_alert_is_delivered_signed_and_once(t) {
        let status = Arc::new(AtomicU16::new(500));
        let (url, mut got) = webhook(&t, status.clone()).await;
        let app = TestApp::start_with(&t, Arc::new(tempfile::tempdir().unwrap()), |config| {
            config.alerts.webhook = Some(WebhookConfig {
                url,
                secret_env: None,
                secret_file: None,
                secret: Some(Secret::new("canary-webhook-secret".to_owned())),
                timeout_seconds: 2,
            });
        }).await;
        let root = Caller::root(&app);
        let site = root.office_site().await;
        let runtime = root.desktops(&site, "1").await.remove(0);
        use_up(&t, &runtime, 8_500_000).await;
        let quota = [("AgentIds.1", runtime.as_str()), ("CreditQuota", "10")];
        root.call(("2021-12-21", "SetAgentCreditQuota"), &quota).await.assert_ok();

        // Refused at first, and then tried again under the same name.
        let (headers, body) = tokio::time::timeout(Duration::from_secs(20), got.recv()).await.unwrap().unwrap();
        assert_eq!((&body["Kind"], &body["SubjectId"]), (&json!("agent"), &json!(runtime)));
        assert_eq!((&body["QuotaCredits"], &body["UsedCredits"]), (&json!("10.000000"), &json!("8.500000")));
        assert_eq!(body["AlertId"], headers["creel-delivery"].to_str().unwrap());
        assert!(headers["creel-signature"].to_str().unwrap().starts_with("t="));
        status.store(204, Ordering::SeqCst);
        let again = async {
            loop {
                // Attempts follow the server's clock, which stands still in tests.
                t.clock.advance(jiff::SignedDuration::from_secs(5));
                if let Ok(next) = tokio::time::timeout(Duration::from_millis(200), got.recv()).await {
                    return next.unwrap();
                }
            }
        };
        let (_, second) = tokio::time::timeout(Duration::from_secs(20), again).await.unwrap();
        assert_eq!(second, body);
        let told = root.call(("2021-12-21", "DescribeCreditUsageInfo"), &[("UsageType", "Agent"), ("InstanceIds.1", &runtime)]).await;
        assert!(told.body["UsageInfoList"][0]["UsageInfo"]["LastTriggeredAt"].is_string(), "{}", told.body);
        root.call(("2021-12-21", "SetAgentCreditQuota"), &quota).await.assert_ok();
        t.clock.advance(jiff::SignedDuration::from_mins(30));
        assert!(tokio::time::timeout(Duration::from_secs(3), got.recv()).await.is_err());
    }
}
