//! What calls leave in the audit log.

use creel_control::store::params;
use creel_testkit::{TestStore, both_databases};
use serde_json::Value;

use crate::command_line::{app_at_present, args, creel_async, stderr, stdout};
use crate::harness::{KEY_ID, READ, TestApp, WRITE};

const EVENTS: (&str, &str) = ("2026-11-24", "DescribeAuditEvents");

const NEW_SITE: &str = "RegionId=cn-hangzhou&OfficeSiteName=site";

/// Rows of an action, oldest first; the columns of each, joined.
async fn rows(t: &TestStore, action: &'static str) -> Vec<String> {
    let sql = "SELECT principal, actor, version, resources_json, decision, outcome, code, source_address, user_agent,
                   at_ms, id
               FROM audit WHERE action = $1 ORDER BY at_ms, id";
    let rows = t.store.db().fetch_all(sql, params![action]).await.unwrap();
    let text = |row: &creel_control::store::Row| {
        let columns = [
            "principal",
            "actor",
            "version",
            "resources_json",
            "decision",
            "outcome",
            "code",
            "source_address",
            "user_agent",
            "id",
        ];
        let texts: Vec<String> = columns.iter().map(|column| row.text(column).unwrap()).collect();
        format!("{} at {}", texts.join("|"), row.int("at_ms").unwrap())
    };
    rows.iter().map(text).collect()
}

both_databases! {
    async fn a_change_leaves_one_row_that_tells_who_did_what(t) {
        let app = TestApp::start(&t).await;
        let root = app.server.accounts().find_by_name("root").await.unwrap().unwrap();
        let mut call = app.call(WRITE);
        call.form = NEW_SITE.to_owned();
        let mut request = call.acs3();
        let agent = format!("sdk/1.0 {}", "x".repeat(400));
        request.headers_mut().insert("user-agent", agent.parse().unwrap());
        let answer = app.send(request).await;
        answer.assert_ok();
        let (site, id) = (answer.body["OfficeSiteId"].as_str().unwrap(), answer.body["RequestId"].as_str().unwrap());
        let expected = format!(
            "account:{}|{KEY_ID}|2020-09-30|[\"{site}\"]|Allowed|Success||127.0.0.1|{}|{id} at 1767323045000",
            root.id,
            &agent[..256],
        );
        assert_eq!(rows(&t, WRITE.1).await, [expected]);
        app.get(READ, "").await.assert_ok();
        assert_eq!(rows(&t, READ.1).await, [""; 0], "a read leaves none");
    }

    async fn what_cannot_be_recorded_is_not_done(t) {
        let app = TestApp::start(&t).await;
        t.store.write(|tx| Box::pin(tx.execute("ALTER TABLE audit RENAME TO gone", vec![]))).await.unwrap();
        app.get(WRITE, NEW_SITE).await.assert_refused(500, "InternalError");
        let root = app.server.accounts().find_by_name("root").await.unwrap().unwrap();
        app.server.accounts().create_key(&root.id).await.expect_err("no secret without its row");
        t.store.write(|tx| Box::pin(tx.execute("ALTER TABLE gone RENAME TO audit", vec![]))).await.unwrap();
        let sites = app.get(("2020-09-30", "DescribeOfficeSites"), "RegionId=cn-hangzhou").await;
        assert_eq!(sites.body["OfficeSites"].as_array().map_or(0, Vec::len), 0, "{}", sites.body);
        assert_eq!(app.server.accounts().list_keys(&root.id).await.unwrap().len(), 1);
    }

    async fn refused_calls_leave_a_row_and_strangers_none(t) {
        let app = TestApp::start(&t).await;
        app.get(WRITE, "RegionId=nowhere&OfficeSiteName=site").await.assert_refused(400, "InvalidRegionId");
        let found = rows(&t, WRITE.1).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("|[]|Allowed|Failure|InvalidRegionId|127.0.0.1|"), "{found:?}");
        app.get(READ, "MaxResults=0").await.assert_refused(400, "InvalidMaxResults");
        assert_eq!(rows(&t, READ.1).await.len(), 1);
        let count = async || {
            let rows = t.store.db().fetch_all("SELECT id FROM audit", vec![]).await.unwrap();
            rows.len()
        };
        let before = count().await;
        let mut stranger = app.call(WRITE);
        stranger.secret = "other".to_owned();
        for _ in 0..100 {
            app.send(stranger.acs3()).await.assert_refused(400, "SignatureDoesNotMatch");
        }
        assert_eq!(count().await, before);
        // One key has a bound, and its count is written when the server stops.
        for _ in 0..100 {
            app.get(READ, "MaxResults=0").await.assert_refused(400, "InvalidMaxResults");
        }
        assert_eq!(rows(&t, READ.1).await.len(), 29, "30 with the one of the write");
        app.server.shutdown().await;
        let counted = "SELECT calls FROM audit WHERE action = 'RefusedCalls'";
        let counted = t.store.db().fetch_all(counted, vec![]).await.unwrap();
        assert_eq!(counted.iter().map(|row| row.int("calls").unwrap()).collect::<Vec<_>>(), [72]);
    }

    async fn events_are_found_by_every_filter_and_by_their_account_alone(t) {
        let app = TestApp::start(&t).await;
        let mut ids = Vec::new();
        for name in ["first", "second", "third"] {
            let answer = app.get(WRITE, &format!("RegionId=cn-hangzhou&OfficeSiteName={name}")).await;
            ids.push(answer.body["RequestId"].as_str().unwrap().to_owned());
            t.clock.advance(jiff::SignedDuration::from_secs(1));
        }
        app.get(WRITE, "RegionId=nowhere&OfficeSiteName=fourth").await.assert_refused(400, "InvalidRegionId");
        let found = async |query: &str| -> Vec<String> {
            let answer = app.get(EVENTS, query).await;
            answer.assert_ok();
            let events = answer.body["Events"].as_array().unwrap().clone();
            events.iter().map(|event| event["EventId"].as_str().unwrap().to_owned()).collect()
        };
        let newest: Vec<String> = ids.iter().rev().cloned().collect();
        let made = found("EventName=CreateSimpleOfficeSite&EndTime=1767323048000").await;
        assert_eq!(made, newest);
        assert_eq!(found("StartTime=1767323046000&EndTime=1767323047000").await, [ids[1].as_str()]);
        assert_eq!(found(&format!("EventId={}", ids[0])).await, [ids[0].as_str()]);
        let root = app.server.accounts().find_by_name("root").await.unwrap().unwrap();
        assert_eq!(found(&format!("Principal=account:{}&EventAccessKeyId={KEY_ID}", root.id)).await.len(), 4);
        assert_eq!(found("Principal=operator").await.len(), 2, "the account and its key");
        assert_eq!(found("Decision=Denied").await, [""; 0]);
        assert_eq!(found("Decision=Allowed&EventName=CreateSimpleOfficeSite").await.len(), 4);
        assert_eq!(found("EventAccessKeyId=LTAInobody").await, [""; 0]);
        app.get(EVENTS, "Decision=Maybe").await.assert_refused(400, "InvalidDecision");
        app.get(EVENTS, "MaxResults=0").await.assert_refused(400, "InvalidMaxResults");
        app.get(EVENTS, "NextToken=x").await.assert_refused(400, "InvalidNextToken");

        let mut paged = Vec::new();
        let mut token = String::new();
        loop {
            let query = format!("EventName=CreateSimpleOfficeSite&MaxResults=1&EndTime=1767323048000&NextToken={token}");
            let answer = app.get(EVENTS, &query).await;
            paged.extend(answer.body["Events"].as_array().unwrap().iter().map(|event| event["EventId"].clone()));
            let Some(next) = answer.body["NextToken"].as_str() else { break };
            next.clone_into(&mut token);
        }
        assert_eq!(paged, newest);

        let other = app.server.accounts().create("other").await.unwrap();
        let key = app.server.accounts().create_key(&other.id).await.unwrap();
        let mut call = app.call(EVENTS);
        call.key_id = key.id.to_string();
        call.secret = key.secret.expose().to_owned();
        for query in ["", &format!("EventId={}", ids[0]), "EventName=CreateSimpleOfficeSite"] {
            query.clone_into(&mut call.query);
            call.nonce = t.ids.request_id();
            let answer = app.send(call.acs3()).await;
            let events = answer.body["Events"].as_array().unwrap();
            assert!(events.iter().all(|event| event["AccountId"] == other.id.as_str()), "{}", answer.body);
        }

        // By resource once it is sealed, which a server does at the latest when it stops.
        let site = app.get(("2020-09-30", "DescribeOfficeSites"), "RegionId=cn-hangzhou").await;
        let site = site.body["OfficeSites"][0]["OfficeSiteId"].as_str().unwrap().to_owned();
        let data_dir = app.data_dir.clone();
        app.server.shutdown().await;
        let app = TestApp::start_in(&t, data_dir).await;
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("Resource", &site).finish();
        let answer = app.get(EVENTS, &query).await;
        let events = answer.body["Events"].as_array().unwrap();
        assert_eq!(events.len(), 1, "{}", answer.body);
        assert!(events[0]["Batch"].as_i64().unwrap() >= 1 && events[0]["Resources"][0] == site.as_str());
    }

    async fn no_parameter_of_any_operation_gets_into_the_log(t) {
        let app = TestApp::start(&t).await;
        let canary = "canary-5d1f";
        for spec in creel_wire::ops::ALL {
            // Wrong in kind or not, alone and with all others: what is refused and what is not.
            let all: String = spec.params.iter().map(|param| format!("{0}={canary}&{0}.1={canary}&", param.name)).collect();
            app.get((spec.version, spec.action), &all).await;
            for param in spec.params {
                let query = format!("RegionId=cn-hangzhou&{0}={canary}&{0}.1={canary}", param.name);
                app.get((spec.version, spec.action), &query).await;
                t.clock.advance(jiff::SignedDuration::from_secs(10));
            }
        }
        for (version, action, query) in successful(canary) {
            let answer = app.get((version, action), &filled(&t, &query).await).await;
            assert!(answer.status == 200 || answer.code() == "Agent.NotRunning", "{action}: {}", answer.body);
        }
        let data_dir = app.data_dir.clone();
        app.server.shutdown().await;
        let mut dump = std::fs::read_to_string(data_dir.path().join("audit/roots.jsonl")).unwrap();
        let columns = "SELECT id || account_id || actor || principal || action || version || resources_json || code ||
            source_address || user_agent AS text FROM audit";
        for sql in [columns, "SELECT resource AS text FROM audit_resource", "SELECT record_json AS text FROM audit_seal"] {
            let rows = t.store.db().fetch_all(sql, vec![]).await.unwrap();
            assert!(!rows.is_empty(), "{sql}");
            rows.iter().for_each(|row| dump.push_str(&row.text("text").unwrap()));
        }
        assert!(dump.contains("CreateModelProviderTemplate"));
        assert!(!dump.contains(canary), "{}", &dump[dump.find(canary).unwrap() - 200..]);
    }
}

/// Calls that succeed, with the canary wherever a text may be; `{group}` and its kind are ids of the calls before.
fn successful(canary: &str) -> Vec<(&'static str, &'static str, String)> {
    let config =
        format!(r#"{{"api":"openai-completions","apiKey":"{canary}","baseUrl":"https://{canary}/v1"}}"#);
    let config = form_urlencoded::byte_serialize(config.as_bytes()).collect::<String>();
    vec![
        (
            "2021-09-01",
            "CreateModelTemplate",
            format!(
                "AgentProvider=OpenClaw&BizType=1&Name={canary}&Description={canary}&ClientToken={canary}"
            ),
        ),
        (
            "2021-09-01",
            "CreateModelProviderTemplate",
            format!(
                "AgentProvider=OpenClaw&BizType=1&ModelTemplateId={{model_group}}&ProviderName=provider-{canary}&Name={canary}\
                 &ProviderType=Custom&Config={config}&Description={canary}"
            ),
        ),
        (
            "2021-09-01",
            "BatchCreateLlmTemplates",
            format!(
                "ModelTemplateId={{model_group}}&ProviderTemplateId={{model_provider}}&LlmTemplateItems.1.LlmCode={canary}&LlmTemplateItems.1.Name={canary}&LlmTemplateItems.1.Description={canary}"
            ),
        ),
        ("2020-09-30", "CreateSimpleOfficeSite", format!("RegionId=cn-hangzhou&OfficeSiteName={canary}")),
        (
            "2020-09-30",
            "CreateDesktops",
            format!(
                "RegionId=cn-hangzhou&OfficeSiteId={{office_site}}&BundleId=b-openclaw-linux&ChargeType=PostPaid\
                 &DesktopName={canary}&Tag.1.Key={canary}&Tag.1.Value={canary}\
                 &DesktopAttachment=%7B%22DesktopType%22%3A%22cloud.space.4c.8g%22%7D"
            ),
        ),
        (
            "2026-11-24",
            "SendAgentMessage",
            format!("RuntimeId={{runtime}}&Message={canary}&SessionKey={canary}"),
        ),
    ]
}

/// The query with ids of the newest row of each table that it names.
async fn filled(t: &TestStore, query: &str) -> String {
    let mut query = query.to_owned();
    for (mark, sql) in [
        ("{model_group}", "SELECT id FROM model_group ORDER BY created_at_ms DESC LIMIT 1"),
        ("{model_provider}", "SELECT id FROM model_provider ORDER BY created_at_ms DESC LIMIT 1"),
        ("{office_site}", "SELECT id FROM office_site ORDER BY created_at_ms DESC LIMIT 1"),
        ("{runtime}", "SELECT id FROM runtime ORDER BY created_at_ms DESC LIMIT 1"),
    ] {
        if query.contains(mark) {
            let row = t.store.db().fetch_optional(sql, vec![]).await.unwrap().unwrap();
            let id = row.text("id").unwrap();
            query = query.replace(mark, &form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>());
        }
    }
    query
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_verifies_searches_and_exports() {
    let (app, t) = app_at_present().await;
    let environment = vec![
        ("CREEL_DATA_DIR", app.data_dir.path().display().to_string()),
        ("CREEL_DATABASE", app.database().to_owned()),
    ];
    let admin = |line: &str| creel_async(environment.clone(), args(&format!("admin audit {line}")));
    let made = app.get(WRITE, NEW_SITE).await;
    let id = made.body["RequestId"].as_str().unwrap().to_owned();
    app.get(READ, "MaxResults=0").await.assert_refused(400, "InvalidMaxResults");
    app.server.shutdown().await;

    let verified = admin("verify").await;
    assert_eq!(
        (verified.status.code(), stdout(&verified).as_str()),
        (Some(0), "0 differences\n"),
        "{}",
        stderr(&verified)
    );
    let key = stdout(&admin("key").await);
    let verified = admin(&format!("verify --output json --public-key {key}")).await;
    let summary: Value = serde_json::from_str(&stdout(&verified)).unwrap();
    assert_eq!((&summary["Differences"], &summary["Unsealed"]), (&0.into(), &0.into()), "{summary}");
    assert!(
        summary["Events"].as_i64().unwrap() >= 4 && summary["Head"]["Digest"].as_str().unwrap().len() == 64
    );
    assert_eq!(admin("verify --public-key x").await.status.code(), Some(2));

    let found = admin(&format!(
        "search --output json --request-id {id} --decision Allowed --principal account:{}",
        {
            t.store
                .db()
                .fetch_optional("SELECT account_id FROM audit WHERE actor <> 'operator'", vec![])
                .await
                .unwrap()
                .unwrap()
                .text("account_id")
                .unwrap()
        }
    ))
    .await;
    let found: Value = serde_json::from_str(&stdout(&found)).unwrap();
    assert_eq!(found["Events"].as_array().unwrap().len(), 1, "{found}");
    let page = admin("search --limit 1").await;
    assert_eq!(stdout(&page).lines().count(), 2, "{}", stdout(&page));
    let token = stderr(&page).split_whitespace().last().unwrap().to_owned();
    let next = stdout(&admin(&format!("search --limit 1 --next-token {token}")).await);
    assert_ne!(next, stdout(&page));

    let lines = async |line: &str| -> Vec<Value> {
        let output = admin(line).await;
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let native = lines("export").await;
    assert_eq!(native.len() as i64, summary["Events"].as_i64().unwrap());
    let of = |events: &[Value], field: &str, value: &str| {
        events.iter().find(|event| event[field] == value).cloned().unwrap()
    };
    let event = of(&native, "EventId", &id);
    assert_eq!((&event["EventName"], &event["SourceIpAddress"]), (&WRITE.1.into(), &"127.0.0.1".into()));
    let event = of(&lines("export --format cloudtrail --account root").await, "eventID", &id);
    assert_eq!((&event["eventName"], &event["readOnly"]), (&WRITE.1.into(), &false.into()));
    let events = lines("export --format ocsf").await;
    assert!(
        events.iter().any(|event| event["metadata"]["uid"] == id.as_str() && event["type_uid"] == 600_301)
    );
    assert!(lines("export --from 2001-01-01T00:00:00Z --to 2001-01-02T00:00:00Z").await.is_empty());

    let change = "UPDATE audit SET decision = 'Denied' WHERE id = $1";
    let values = params![id.clone()];
    t.store.write(move |tx| Box::pin(tx.execute(change, values))).await.unwrap();
    let verified = admin("verify").await;
    assert_eq!(verified.status.code(), Some(1));
    let text = stdout(&verified);
    assert!(
        text.starts_with(&format!("row {id} of batch ")) && text.ends_with(" was changed\n1 differences\n"),
        "{text}"
    );
}
