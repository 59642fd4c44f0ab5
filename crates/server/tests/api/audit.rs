//! What calls leave in the audit log.

use creel_testkit::{TestStore, both_databases};

use crate::harness::{KEY_ID, READ, TestApp, WRITE};

const NEW_SITE: &str = "RegionId=cn-hangzhou&OfficeSiteName=site";

/// Rows of an action, oldest first; the columns of each, joined.
async fn rows(t: &TestStore, action: &'static str) -> Vec<String> {
    let sql = "SELECT principal, actor, version, resources_json, decision, outcome, code, source_address, user_agent,
                   at_ms, id
               FROM audit WHERE action = $1 ORDER BY at_ms, id";
    let rows = t.store.db().fetch_all(sql, creel_control::store::params![action]).await.unwrap();
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
}
