//! Orders of credit packs: priced by the operator's list, approved by nobody, by the operator or by a webhook.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use creel::config::{ApprovalKind, Config, OrdersConfig, WebhookConfig};
use creel_control::access::Actor;
use creel_control::order::{Offer, Orders, Term, TermUnit, Verdict};
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::AccountId;
use creel_wire::money::Micros;
use creel_wire::secret::Secret;
use serde_json::{Value, json};

use crate::caller::{Caller, Params};
use crate::harness::TestApp;

const CREATE: (&str, &str) = ("2021-12-21", "CreateMultiOrder");
const PRICE: (&str, &str) = ("2021-12-21", "DescribeMultiPrice");
const MODIFY: (&str, &str) = ("2021-12-21", "ModifyInstanceProperties");
const ORDERS: (&str, &str) = ("2026-11-24", "DescribeCreditOrders");
const USAGE: (&str, &str) = ("2021-12-21", "DescribeCreditUsageInfo");
const AUDIT: (&str, &str) = ("2026-11-24", "DescribeAuditEvents");

/// Two packs of 2,000 credits for a month.
const TWO: Params<'_> = &[
    ("OrderItems.1.ResourceType", "CreditPackage"),
    ("OrderItems.1.Amount", "2"),
    ("OrderItems.1.Period", "1"),
    ("OrderItems.1.PeriodUnit", "Month"),
    ("OrderItems.1.Components.1.Key", "CreditPackageAmountSpec"),
    ("OrderItems.1.Components.1.Value", "2000"),
];

const MONTH: Term = Term { number: 1, unit: TermUnit::Month };

fn orders(t: &TestStore) -> Orders {
    Orders::new(t.store.clone(), t.ids.clone(), "EUR".to_owned())
}

async fn account(caller: &Caller<'_>) -> AccountId {
    let told = caller.call(USAGE, &[]).await;
    told.body["UsageInfoList"][0]["UsageInfoKey"].as_str().unwrap().parse().unwrap()
}

/// A server that offers 2,000 credits for a month at 160.50 euros.
async fn shop(t: &TestStore, approval: ApprovalKind, webhook: Option<String>) -> TestApp {
    let webhook = webhook.map(|url| WebhookConfig {
        url,
        secret_env: None,
        secret_file: None,
        secret: Some(Secret::new("canary-webhook-secret".to_owned())),
        timeout_seconds: 1,
    });
    let set = |config: &mut Config| {
        config.orders = OrdersConfig { approval, currency: "EUR".to_owned(), webhook };
    };
    let app = TestApp::start_with(t, Arc::new(tempfile::tempdir().unwrap()), set).await;
    let actor = Actor::operator("11".parse().unwrap(), "SetCreditOffer", t.ids.request_id());
    let offer = Offer { credits: Micros(2_000_000_000), term: MONTH, price: Micros(160_500_000) };
    orders(t).set_offer(actor, offer).await.unwrap();
    app
}

async fn listed(caller: &Caller<'_>) -> Vec<Value> {
    let answer = caller.call(ORDERS, &[]).await;
    answer.assert_ok();
    answer.body["Orders"].as_array().unwrap().clone()
}

async fn total(caller: &Caller<'_>) -> Value {
    let told = caller.call(USAGE, &[]).await;
    told.assert_ok();
    told.body["UsageInfoList"][0]["UsageInfo"]["TotalCredit"].clone()
}

/// What a webhook was asked.
type Asked = Arc<Mutex<Vec<(HashMap<String, String>, Value)>>>;

/// A webhook that answers with a status and text; its address.
async fn webhook(t: &TestStore, answer: Arc<Mutex<(u16, &'static str)>>) -> (String, Asked) {
    let asked = Asked::default();
    let app = Router::new()
        .fallback(move |State(asked): State<Asked>, headers: HeaderMap, body: String| async move {
            let headers =
                headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            asked.lock().unwrap().push((headers.collect(), serde_json::from_str(&body).unwrap()));
            let (status, answer) = *answer.lock().unwrap();
            (StatusCode::from_u16(status).unwrap(), answer)
        })
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/approve", listener.local_addr().unwrap());
    let stop = t.tasks.cancelled();
    t.tasks.spawn("webhook", async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        served.await.unwrap();
    });
    (url, asked)
}

both_databases! {
    async fn an_order_is_priced_and_grants_its_packs(t) {
        let app = shop(&t, ApprovalKind::Automatic, None).await;
        let root = Caller::root(&app);
        let price = root.call(PRICE, TWO).await;
        price.assert_ok();
        let price = &price.body["PriceInfo"]["Price"];
        assert_eq!((&price["Currency"], &price["OriginalPrice"], &price["TradePrice"]), (&json!("EUR"), &json!(321.0), &json!(321.0)));
        assert_eq!(price["PriceDetails"][0]["PriceDetail"]["TradePrice"], json!(321.0));
        assert_eq!(listed(&root).await, Vec::<Value>::new());

        let once = crate::caller::with(TWO, &[("ClientToken", "token")]);
        let placed = root.call(CREATE, &once).await;
        placed.assert_ok();
        let again = root.call(CREATE, &once).await;
        assert_eq!(placed.body["OrderIds"], again.body["OrderIds"]);
        let order = listed(&root).await.remove(0);
        assert_eq!(order["OrderId"], placed.body["OrderIds"][0]);
        assert_eq!((&order["Status"], &order["Price"], &order["Amount"]), (&json!("Granted"), &json!("321.000000"), &json!(2)));
        assert_eq!(order["CreditPackageIds"].as_array().unwrap().len(), 2);
        assert_eq!(total(&root).await, json!(4000));

        // For runtimes: each has a pack of its own. Later: the newest order is listed first.
        t.clock.advance(jiff::SignedDuration::from_secs(1));
        let site = root.office_site().await;
        let desktops = root.desktops(&site, "2").await;
        let change = [
            ("OrderItems.1.Amount", ""),
            ("OrderItems.1.ResourceIds.1", desktops[0].as_str()),
            ("OrderItems.1.ResourceIds.2", desktops[1].as_str()),
        ];
        let for_both = crate::caller::with(TWO, &change);
        root.call(CREATE, &for_both).await.assert_ok();
        let order = listed(&root).await.remove(0);
        assert_eq!(order["ResourceIds"].as_array().unwrap().len(), 2);
        let usage = root.call(USAGE, &[("UsageType", "Agent"), ("InstanceIds.1", &desktops[1])]).await;
        let info = &usage.body["UsageInfoList"][0]["UsageInfo"];
        assert_eq!(info["TotalCredit"], json!(2000));
        assert!(order["CreditPackageIds"].as_array().unwrap().contains(&info["CurrentInstanceId"]), "{info}");
        let audited = root.call(AUDIT, &[("EventName", "CreateMultiOrder")]).await;
        assert_eq!(audited.body["Events"].as_array().unwrap().len(), 2);
    }

    async fn what_is_not_offered_or_not_meant_is_refused(t) {
        let app = shop(&t, ApprovalKind::Automatic, None).await;
        let root = Caller::root(&app);
        let refusals: &[crate::caller::Refusal<'_>] = &[
            (&[("OrderItems.1.Components.1.Value", "1000")], 400, "Order.NotOffered"),
            (&[("OrderItems.1.PeriodUnit", "Year")], 400, "Order.NotOffered"),
            (&[("OrderItems.1.Period", "7")], 400, "InvalidOrderItems"),
            (&[("OrderItems.1.Amount", "0")], 400, "InvalidOrderItems"),
            (&[("OrderItems.1.Components.1.Value", "many")], 400, "InvalidOrderItems"),
            (&[("OrderItems.1.Components.1.Key", "RootDiskSize")], 400, "InvalidOrderItems"),
            (&[("OrderItems.1.ResourceType", "DurationPackage")], 400, "InvalidOrderItems"),
            (&[("OrderItems.1.ResourceIds.1", "ecd-1")], 400, "InvalidOrderItems"),
            (&[("OrderType", "renew")], 400, "InvalidOrderType"),
        ];
        root.refuses(CREATE, TWO, refusals).await;
        root.refuses(PRICE, TWO, refusals).await;
        let unknown: Params<'_> = &[("OrderItems.1.Amount", "1"), ("OrderItems.1.ResourceIds.1", "ecd-unknown")];
        root.refuses(CREATE, TWO, &[(unknown, 404, "Runtime.NotFound")]).await;
        root.call(CREATE, &[]).await.assert_refused(400, "MissingOrderItems");
        root.call(PRICE, &[]).await.assert_refused(400, "MissingOrderItems");
        assert_eq!(listed(&root).await, Vec::<Value>::new());
    }

    async fn an_order_waits_for_the_operator(t) {
        let app = shop(&t, ApprovalKind::Manual, None).await;
        let root = Caller::root(&app);
        for _ in 0..2 {
            root.call(CREATE, TWO).await.assert_ok();
        }
        let waiting = listed(&root).await;
        assert!(waiting.iter().all(|order| order["Status"] == "Pending" && order["DecidedTime"].is_null()));
        assert_eq!(total(&root).await, json!(0));

        let (orders, account) = (orders(&t), account(&root).await);
        let actor = |action| Actor::operator(account.clone(), action, t.ids.request_id());
        let ids: Vec<i64> = waiting.iter().map(|order| order["OrderId"].as_i64().unwrap()).collect();
        let deny = Verdict::Deny { reason: "no budget".to_owned() };
        orders.decide(actor("ApproveOrder"), ids[0], Verdict::Approve).await.unwrap();
        orders.decide(actor("DenyOrder"), ids[1], deny.clone()).await.unwrap();
        // What is decided stays decided.
        for id in &ids {
            for verdict in [Verdict::Approve, deny.clone()] {
                assert!(orders.decide(actor("ApproveOrder"), *id, verdict).await.is_err());
            }
        }
        let decided = listed(&root).await;
        assert_eq!((&decided[0]["Status"], &decided[1]["Status"]), (&json!("Granted"), &json!("Denied")));
        assert_eq!((&decided[1]["Reason"], &decided[1]["CreditPackageIds"]), (&json!("no budget"), &Value::Null));
        assert_eq!(total(&root).await, json!(4000));
        let page = root.call(ORDERS, &[("MaxResults", "1")]).await;
        let token = page.body["NextToken"].as_str().unwrap().to_owned();
        let next = root.call(ORDERS, &[("MaxResults", "1"), ("NextToken", &token)]).await;
        assert_eq!((&next.body["Orders"][0]["OrderId"], &next.body["NextToken"]), (&json!(ids[1]), &Value::Null));
        let stranger = Caller::stranger(&app).await;
        assert_eq!(listed(&stranger).await, Vec::<Value>::new());
    }

    async fn a_webhook_approves_once_or_nothing_is_written(t) {
        let says = Arc::new(Mutex::new((200, r#"{"Decision":"approve"}"#)));
        let (url, asked) = webhook(&t, says.clone()).await;
        let app = shop(&t, ApprovalKind::Webhook, Some(url)).await;
        let root = Caller::root(&app);
        let once = crate::caller::with(TWO, &[("ClientToken", "token")]);
        for _ in 0..2 {
            root.call(CREATE, &once).await.assert_ok();
        }
        let asked = asked.lock().unwrap().clone();
        let [(headers, question)] = asked.as_slice() else { panic!("asked {} times", asked.len()) };
        assert_eq!((&question["OrderItems"][0]["Price"], &question["Currency"]), (&json!("321.000000"), &json!("EUR")));
        assert_eq!(Some(&headers["creel-delivery"]), question["RequestId"].as_str().map(str::to_owned).as_ref());
        assert!(headers["creel-signature"].starts_with("t=") && headers["creel-signature"].contains(",v1="));
        assert_eq!(total(&root).await, json!(4000));

        let denied = (200, r#"{"Decision":"deny","Reason":"ask finance."}"#, 403, "Order.Denied");
        for (status, answer, expect, code) in [
            denied,
            (200, "yes", 503, "Order.ApprovalUnavailable"),
            (500, r#"{"Decision":"approve"}"#, 503, "Order.ApprovalUnavailable"),
        ] {
            *says.lock().unwrap() = (status, answer);
            let answer = root.call(CREATE, TWO).await;
            answer.assert_refused(expect, code);
            if code == "Order.Denied" {
                assert_eq!(answer.body["Message"], "The order was denied: ask finance.");
            }
            assert_eq!(listed(&root).await.len(), 1);
        }
    }

    async fn a_webhook_that_is_not_there_approves_nothing(t) {
        let app = shop(&t, ApprovalKind::Webhook, Some("http://127.0.0.1:1/".to_owned())).await;
        Caller::root(&app).call(CREATE, TWO).await.assert_refused(503, "Order.ApprovalUnavailable");
    }

    async fn strategies_are_of_packs_of_the_account(t) {
        let app = shop(&t, ApprovalKind::Automatic, None).await;
        let root = Caller::root(&app);
        root.call(CREATE, TWO).await.assert_ok();
        let packs = listed(&root).await[0]["CreditPackageIds"].clone();
        let (first, second) = (packs[0].as_str().unwrap(), packs[1].as_str().unwrap());
        let good: Params<'_> = &[
            ("ResourceType", "CreditPackage"),
            ("Key", "PackageUsedUpStrategy"),
            ("Value", "Postpaid"),
            ("InstanceIds.1", first),
            ("InstanceIds.2", second),
        ];
        root.call(MODIFY, good).await.assert_ok();
        root.refuses(MODIFY, good, &[
            (&[("Value", "Deny")], 400, "InvalidValue"),
            (&[("Key", "Name")], 400, "InvalidKey"),
            (&[("ResourceType", "DurationPackage")], 400, "InvalidResourceType"),
            (&[("InstanceIds.1", ""), ("InstanceIds.2", "")], 400, "MissingInstanceIds"),
            (&[("InstanceId", "crp-unknown")], 400, "InvalidInstanceIds"),
        ]).await;
        let stranger = Caller::stranger(&app).await;
        stranger.refuses(MODIFY, good, &[(&[], 400, "InvalidInstanceIds")]).await;
    }
}
