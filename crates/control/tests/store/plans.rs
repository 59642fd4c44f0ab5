//! Plans of lists at some thousand rows: each filter is served by an index, and nothing sorts or reads an account.

use creel_control::command::{CommandFilter, CommandStatus};
use creel_control::entitlement::Entitled;
use creel_control::page::{Cursor, PageNumber};
use creel_control::runtime::{Management, RuntimeFilter};
use creel_control::store::{
    EntryFilter, Store, StoreError, command_list_statement, entry_list_statement, user_list_statement,
};
use creel_control::user::UserFilter;
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::{AccountId, EndUserId, RuntimeId};
use sea_query::SelectStatement;

/// Two accounts: `11` with 6,000 runtimes, users and so on, `12` with 600.
pub(super) async fn fill(t: &TestStore) {
    let statements: &[&'static str] = &[
        "INSERT INTO account (id, name, created_at_ms) VALUES ('11', 'large', 1), ('12', 'small', 1)",
        "INSERT INTO office_site (id, account_id, region_id, name, attributes_json, created_at_ms)
         VALUES ('cn-hangzhou+dir-1', '11', 'cn-hangzhou', 'one', '{}', 1),
                ('cn-hangzhou+dir-2', '11', 'cn-hangzhou', 'two', '{}', 1),
                ('cn-hangzhou+dir-3', '12', 'cn-hangzhou', 'one', '{}', 1)",
        "INSERT INTO model_group (id, account_id, name, description, agent_provider, agent_platform, biz_type,
             ref_scope, source, revision, created_at_ms)
         VALUES ('mt-1', '11', 'one', '', 'OpenClaw', 'ENTERPRISE', 1, 'All', 'Custom', 1, 1)",
        "INSERT INTO resource_group (id, account_id, name, created_at_ms) VALUES ('rg-1', '11', 'one', 1)",
        "INSERT INTO runtime (id, account_id, region_id, jvs_id, name, host_name, office_site_id, image_id,
             desktop_type, os_type, agent_provider, agent_platform, charge_type, resource_group_id, model_group_id,
             attributes_json, power, boot_generation, generation, sandbox, reason, created_at_ms, deleted_at_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6600)
         SELECT 'ecd-' || i, CASE WHEN i % 11 = 0 THEN '12' ELSE '11' END, 'cn-hangzhou',
             CASE WHEN i % 5 = 0 THEN 'jvs-' || i END, 'agent' || i, 'host' || i,
             CASE WHEN i % 11 = 0 THEN 'cn-hangzhou+dir-3' WHEN i % 50 = 0 THEN 'cn-hangzhou+dir-2'
                  ELSE 'cn-hangzhou+dir-1' END,
             CASE WHEN i % 60 = 0 THEN 'image-2' ELSE 'image-1' END,
             CASE WHEN i % 60 = 0 THEN 'type-2' ELSE 'type-1' END,
             CASE WHEN i % 60 = 0 THEN 'Windows' ELSE 'Linux' END,
             CASE WHEN i % 60 = 0 THEN 'HermesAgent' ELSE 'OpenClaw' END,
             CASE WHEN i % 60 = 0 THEN 'ENTERPRISE_JVS' ELSE 'ENTERPRISE' END,
             CASE WHEN i % 60 = 0 THEN 'PrePaid' ELSE 'PostPaid' END,
             CASE WHEN i % 70 = 0 THEN 'rg-1' END,
             CASE WHEN i % 80 = 0 THEN 'mt-1' END,
             '{}', CASE WHEN i % 90 = 0 THEN 'Hibernated' ELSE 'Running' END, 1, 1,
             CASE WHEN i % 60 = 0 THEN 'Pending' WHEN i % 90 = 0 THEN 'Stopped' ELSE 'Running' END, '',
             1000000 + i / 300, CASE WHEN i % 100 = 1 THEN 2000000 END
         FROM n",
        "INSERT INTO end_user (account_id, end_user_id, email, owner_type, is_local_admin, locked_from_ms, created_at_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         SELECT '11', 'user' || i, 'user' || i || '@example.org', 'CreateFromManager', 0,
             CASE WHEN i % 100 = 0 THEN 5 END, 1 FROM n",
        "INSERT INTO runtime_user (runtime_id, end_user_id, account_id)
         SELECT id, 'user' || (LENGTH(id) * 100 + created_at_ms % 100), account_id FROM runtime",
        "INSERT INTO runtime_tag (runtime_id, tag_key, tag_value, account_id)
         SELECT id, 'team', CASE WHEN id LIKE '%77' THEN 'rare' ELSE 'common' END, account_id FROM runtime",
        "INSERT INTO runtime_observed (runtime_id, account_id, agent_status, agent_starts, memory_limited,
             receipt_desired, receipt_observed, applied_models, observed_at_ms, agent_version)
         SELECT id, account_id, CASE WHEN id LIKE '%77' THEN 'Starting' ELSE 'Running' END, 1, 1, 0, 0, '', 1,
             CASE WHEN id LIKE '%77' THEN '2' ELSE '1' END
         FROM runtime WHERE id NOT LIKE '%9'",
        "INSERT INTO guest (runtime_id, epoch, replica_id) SELECT id, 1, 'replica' FROM runtime",
        "INSERT INTO command (id, account_id, kind, content, timeout_ms, end_user_id, scenario, status, unfinished,
             succeeded, failed, created_at_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         SELECT 'c-' || i, '11', 'RunShellScript', '', 1, CASE WHEN i % 50 = 0 THEN 'user1' END, 'Classic',
             CASE WHEN i % 60 = 0 THEN 'Failed' ELSE 'Success' END, 0, 1, 0, i FROM n",
        "INSERT INTO invocation (id, account_id, runtime_id, session_key, message, status, created_at_ms, deadline_ms,
             command_id)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         SELECT 'i-' || i, '11', 'ecd-' || (i % 100 + 1), '', '', 'Succeeded', i, 1, 'c-' || i FROM n",
        "INSERT INTO ledger_entry (id, call_id, part, account_id, runtime_id, provider_id, provider_name, model_code,
             label, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, micros,
             unbilled_micros, month, hour, created_at_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
         SELECT 'call-' || i || '/0', 'call-' || i, 0, '11', 'ecd-' || (i % 300), 'p', 'p', 'm', 'exact',
             1, 0, 0, 1, 0, 1, 0, 202601, 1, i FROM n",
    ];
    for sql in statements.iter().copied() {
        let done: Result<u64, StoreError> =
            t.store.write(move |tx| Box::pin(async move { tx.execute(sql, vec![]).await })).await;
        done.unwrap();
    }
    if t.store.db().is_postgres() {
        let done: Result<u64, StoreError> =
            t.store.write(|tx| Box::pin(async move { tx.execute("ANALYZE", vec![]).await })).await;
        done.unwrap();
    }
}

/// What may be done with the rows that the index gives.
#[derive(Clone, Copy, PartialEq)]
enum Rows {
    /// They come in the list's order, and the page ends the reading.
    InOrder,
    /// They are few, and sorted.
    Few,
}

/// The lines of a plan. PostgreSQL is told not to read or sort the few rows of this test where it can do otherwise,
/// since it should not with many.
async fn plan(store: &Store, statement: &SelectStatement, rows: Rows) -> String {
    let is_postgres = store.db().is_postgres();
    let (sql, column) = if is_postgres {
        (format!("EXPLAIN {}", statement.to_string(sea_query::PostgresQueryBuilder)), "QUERY PLAN")
    } else {
        (format!("EXPLAIN QUERY PLAN {}", statement.to_string(sea_query::SqliteQueryBuilder)), "detail")
    };
    let avoided: &[&'static str] = match (is_postgres, rows) {
        (false, _) => &[],
        (true, Rows::Few) => &["SET LOCAL enable_seqscan = off"],
        (true, Rows::InOrder) => &[
            "SET LOCAL enable_seqscan = off",
            "SET LOCAL enable_sort = off",
            "SET LOCAL enable_bitmapscan = off",
        ],
    };
    let explained: Result<_, StoreError> = store
        .write(move |tx| {
            Box::pin(async move {
                for setting in avoided.iter().copied() {
                    tx.execute(setting, vec![]).await?;
                }
                tx.fetch_all(sql, vec![]).await
            })
        })
        .await;
    explained.unwrap().iter().map(|row| row.text(column).unwrap()).collect::<Vec<_>>().join("\n")
}

fn check(plan: &str, table: &str, index: &str, rows: Rows, what: &str) {
    assert!(plan.contains(index), "{what}: {index} is not used:\n{plan}");
    let alias = if table == "runtime" { "r" } else { table };
    for scan in [format!("Seq Scan on {table}"), format!("SCAN {alias}")] {
        let ends = |rest: &str| rest.is_empty() || rest.starts_with(' ');
        let scans = plan.lines().filter_map(|line| line.split_once(&scan)).any(|(_, rest)| ends(rest));
        assert!(!scans, "{what}: all of {table} is read:\n{plan}");
    }
    // What agrees in the leading columns of an index is few.
    let plan = plan.replace("Incremental Sort  (cost", "").replace("Presorted Key: created_at_ms", "");
    let sorts = plan.contains("Sort  (cost") || plan.contains("TEMP B-TREE FOR ORDER BY");
    assert!(rows == Rows::Few || !sorts, "{what}: sorts:\n{plan}");
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn one(word: &str) -> Option<String> {
    Some(word.to_owned())
}

fn entitled() -> Entitled {
    Entitled { end_user: EndUserId::parse("user500").unwrap(), now_ms: 5 }
}

/// Each filter with the index that must serve it.
fn runtime_cases() -> Vec<(RuntimeFilter, &'static str, Rows)> {
    use Rows::{Few, InOrder};
    let all = RuntimeFilter::default;
    let statuses = |words| RuntimeFilter { sandbox_statuses: text(words), ..all() };
    let tag = |value: &str| RuntimeFilter { tags: vec![("team".to_owned(), one(value))], ..all() };
    vec![
        (all(), "runtime_live", InOrder),
        // All of an installation are in one region: any order will do.
        (RuntimeFilter { region_id: one("cn-hangzhou"), ..all() }, "runtime_", InOrder),
        (RuntimeFilter { office_site_id: one("cn-hangzhou+dir-2"), ..all() }, "runtime_office_site", InOrder),
        (RuntimeFilter { names: text(&["agent7"]), ..all() }, "runtime_name", InOrder),
        (RuntimeFilter { names: text(&["agent7", "agent8"]), ..all() }, "runtime_name", Few),
        (statuses(&["Pending"]), "runtime_sandbox", InOrder),
        (statuses(&["Pending", "Stopped", "Running"]), "runtime_sandbox", InOrder),
        (RuntimeFilter { deleted: true, ..statuses(&["Deleted"]) }, "runtime_deleted", InOrder),
        (RuntimeFilter { deleted: true, ..statuses(&["Deleted", "Running"]) }, "runtime_deleted", InOrder),
        (RuntimeFilter { management: Some(Management::Hibernated), ..all() }, "runtime_", InOrder),
        (RuntimeFilter { management: Some(Management::WakingUp), ..all() }, "runtime_power", InOrder),
        (RuntimeFilter { management: Some(Management::NoFlag), ..all() }, "runtime_live", InOrder),
        (
            RuntimeFilter { agent_providers: text(&["HermesAgent"]), ..all() },
            "runtime_agent_provider",
            InOrder,
        ),
        (
            RuntimeFilter { agent_providers: text(&["HermesAgent", "OpenClaw"]), ..all() },
            "runtime_live",
            InOrder,
        ),
        (
            RuntimeFilter { agent_platforms: text(&["ENTERPRISE_JVS"]), ..all() },
            "runtime_agent_platform",
            InOrder,
        ),
        (RuntimeFilter { image_ids: text(&["image-2"]), ..all() }, "runtime_image", InOrder),
        (RuntimeFilter { os_types: text(&["Windows"]), ..all() }, "runtime_os_type", InOrder),
        (RuntimeFilter { desktop_type: one("type-2"), ..all() }, "runtime_desktop_type", InOrder),
        (RuntimeFilter { charge_type: one("PrePaid"), ..all() }, "runtime_charge_type", InOrder),
        (RuntimeFilter { resource_group_id: one("rg-1"), ..all() }, "runtime_resource_group", InOrder),
        // Begins with the bindings, those of resource groups among them.
        (RuntimeFilter { model_group_id: one("mt-1"), ..all() }, "resource_group_model_group", Few),
        (RuntimeFilter { has_model_group: Some(true), ..all() }, "runtime_", Few),
        (RuntimeFilter { has_model_group: Some(false), ..all() }, "runtime_", InOrder),
        (RuntimeFilter { has_channel: Some(true), ..all() }, "runtime_channel_account", Few),
        (RuntimeFilter { users: text(&["user500"]), ..all() }, "runtime_user_user", Few),
        (RuntimeFilter { users: text(&["user500", "user600"]), ..all() }, "runtime_user_user", Few),
        (RuntimeFilter { excluded_users: text(&["user500"]), ..all() }, "runtime_live", InOrder),
        (RuntimeFilter { entitled_to: Some(entitled()), ..all() }, "runtime_user_user", Few),
        (RuntimeFilter { management: Some(Management::Assigning), ..all() }, "runtime_assignment", Few),
        (RuntimeFilter { has_user: Some(true), ..all() }, "runtime_live", InOrder),
        (tag("rare"), "runtime_tag_tag", Few),
        (tag("common"), "runtime_live", InOrder),
        (RuntimeFilter { agent_statuses: text(&["Running"]), ..all() }, "runtime_live", InOrder),
        (RuntimeFilter { agent_statuses: text(&["Starting"]), ..all() }, "runtime_observed_status", Few),
        (RuntimeFilter { agent_versions: text(&["2"]), ..all() }, "runtime_observed_version", Few),
    ]
}

both_databases! {
    async fn each_filter_of_runtimes_has_an_index(t) {
        fill(&t).await;
        let account = AccountId::parse("11").unwrap();
        for (filter, index, rows) in runtime_cases() {
            for number in [1, 3] {
                let page = PageNumber { number, size: 20 };
                let statement = t.store.runtime_page_statement(&account, &filter, page).await.unwrap().unwrap();
                let plan = plan(&t.store, &statement, rows).await;
                check(&plan, "runtime", index, rows, &format!("{filter:?}"));
                // What is looked at for each row must be found by the row.
                let walks = filter.has_user.is_some() && plan.contains("runtime_user_user");
                assert!(!walks, "the account's users are read for each runtime:\n{plan}");
            }
        }
    }

    async fn ids_of_runtimes_are_looked_up(t) {
        fill(&t).await;
        let account = AccountId::parse("11").unwrap();
        for ids in [text(&["ecd-7"]), text(&["jvs-5"]), text(&["ecd-7", "ecd-8", "jvs-5"])] {
            let filter = RuntimeFilter { ids, tags: vec![("team".to_owned(), None)], ..RuntimeFilter::default() };
            let page = PageNumber { number: 1, size: 20 };
            let statement = t.store.runtime_page_statement(&account, &filter, page).await.unwrap().unwrap();
            let plan = plan(&t.store, &statement, Rows::Few).await;
            let known = ["runtime_pkey", "runtime_jvs_id_key", "runtime_account_id", "sqlite_autoindex_runtime_"];
            assert!(known.iter().any(|index| plan.contains(index)), "{plan}");
            check(&plan, "runtime", "", Rows::Few, "ids");
            assert!(!plan.contains("runtime_live"), "{plan}");
        }
    }

    async fn each_filter_of_users_has_an_index(t) {
        fill(&t).await;
        let account = AccountId::parse("11").unwrap();
        let all = UserFilter::default;
        let after = Cursor { key: 0, id: "user5".to_owned() };
        let primary = if t.store.db().is_postgres() { "end_user_pkey" } else { "sqlite_autoindex_end_user_1" };
        let cases = [
            (all(), primary),
            (UserFilter { ids: text(&["user7", "user8"]), ..all() }, primary),
            (UserFilter { excluded_ids: text(&["user7"]), ..all() }, primary),
            (UserFilter { pattern: one("user"), ..all() }, primary),
            (UserFilter { is_locked: Some(false), ..all() }, primary),
            (UserFilter { is_locked: Some(true), ..all() }, "end_user_locked"),
            (UserFilter { is_assigned: Some(false), ..all() }, primary),
        ];
        for (filter, index) in cases {
            for after in [None, Some(&after)] {
                let statement = user_list_statement(&account, &filter, after, 21, 1_000_000);
                check(&plan(&t.store, &statement, Rows::InOrder).await, "end_user", index, Rows::InOrder, &format!("{filter:?}"));
            }
        }
    }

    async fn each_filter_of_commands_has_an_index(t) {
        fill(&t).await;
        let account = AccountId::parse("11").unwrap();
        let all = CommandFilter::default;
        let after = Cursor { key: 2_000, id: "c-5".to_owned() };
        let cases = [
            (all(), "command_", Rows::InOrder),
            (CommandFilter { id: one("c-7"), ..all() }, "", Rows::Few),
            (CommandFilter { end_user_id: one("user1"), ..all() }, "command_user", Rows::InOrder),
            (CommandFilter { kind: one("RunShellScript"), ..all() }, "command_", Rows::InOrder),
            (CommandFilter { status: Some(CommandStatus::Failed), ..all() }, "command_status", Rows::InOrder),
            (CommandFilter { runtime_ids: text(&["ecd-7", "jvs-5"]), ..all() }, "invocation_runtime", Rows::Few),
        ];
        for (filter, index, rows) in cases {
            for after in [None, Some(&after)] {
                let statement = command_list_statement(&account, &filter, after, 21);
                check(&plan(&t.store, &statement, rows).await, "command", index, rows, &format!("{filter:?}"));
            }
        }
    }

    async fn each_filter_of_ledger_entries_has_an_index(t) {
        fill(&t).await;
        let account = AccountId::parse("11").unwrap();
        let runtime = RuntimeId::parse("ecd-7").unwrap();
        let after = Cursor { key: 2_000, id: "call-5/0".to_owned() };
        let one = std::slice::from_ref(&runtime);
        for (runtime_ids, index) in [(&[][..], "ledger_entry_account"), (one, "ledger_entry_runtime")] {
            for (from_ms, until_ms) in [(None, None), (Some(10), Some(5_000))] {
                let filter = EntryFilter { runtime_ids, from_ms, until_ms, ..EntryFilter::all(&account) };
                for after in [None, Some(&after)] {
                    let statement = entry_list_statement(&filter, after, 0, 21);
                    check(&plan(&t.store, &statement, Rows::InOrder).await, "ledger_entry", index, Rows::InOrder, &format!("{filter:?}"));
                }
            }
        }
    }
}
