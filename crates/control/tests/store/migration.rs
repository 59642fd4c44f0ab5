//! Data of the version before, brought to this one.

use std::sync::Arc;

use creel_control::account::Accounts;
use creel_control::ledger::{Credits, Price, PriceOf};
use creel_control::model::{Models, SystemEndpoint};
use creel_control::object::Objects;
use creel_control::page::PageNumber;
use creel_control::principal::{PrincipalFilter, PrincipalKind, Principals};
use creel_control::seal::SealKey;
use creel_control::skill::{Channel, Decision, Pending, Review, SkillFilter, Skills};
use creel_control::store::{Store, StoreError, params};
use creel_skills::scan::LazyScanner;
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::{AccountId, ProviderId, SkillId};
use creel_wire::price::RateCard;
use creel_wire::secret::Secret;
use object_store::local::LocalFileSystem;

use crate::model::actor_of;

/// Runs statements of no parameters.
async fn run(t: &TestStore, statements: &[&'static str]) {
    for statement in statements.iter().copied() {
        t.store.write(move |tx| Box::pin(tx.execute(statement, vec![]))).await.unwrap();
    }
}

both_databases! {
    async fn keys_of_before_become_the_roots(t) {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let account = accounts.create("acme").await.unwrap();
        let key = accounts.create_key(&account.id).await.unwrap();
        // Back to migration 2: the rows as that version wrote them.
        run(&t, &[
            "CREATE TABLE before AS SELECT id, account_id, secret_sealed, active, created_at_ms FROM access_key",
            "DROP TABLE access_key",
            "DROP TABLE policy_attachment",
            "DROP TABLE policy",
            "DROP TABLE principal",
            "CREATE TABLE access_key (
                 id            TEXT PRIMARY KEY,
                 account_id    TEXT NOT NULL REFERENCES account (id),
                 secret_sealed TEXT NOT NULL,
                 active        BIGINT NOT NULL CHECK (active IN (0, 1)),
                 created_at_ms BIGINT NOT NULL
             )",
            "CREATE INDEX access_key_account ON access_key (account_id, id)",
            "INSERT INTO access_key SELECT id, account_id, secret_sealed, active, created_at_ms FROM before",
            "DROP TABLE before",
            "DELETE FROM _sqlx_migrations WHERE version = 6",
        ]).await;

        let store = Store::open(&t.url.parse().unwrap(), t.clock.clone(), &t.tasks).await.unwrap();
        let accounts = Accounts::new(store.clone(), t.sealer.clone(), t.ids.clone());
        let principals = Principals::new(store, t.ids.clone(), accounts.clone());
        let root = principals.list(&account.id, &PrincipalFilter::default(), None, 10).await.unwrap().items.remove(0);
        assert_eq!((root.kind, root.name.as_str(), root.active), (PrincipalKind::Root, "root", true));
        assert_eq!(root.created_at_ms, account.created_at_ms);
        let found = accounts.find_key(&key.id).await.unwrap().expect("the key is there");
        assert_eq!((&found.secret, &found.principal_id), (&key.secret, &root.id));
        let listed = principals.list_keys(&account.id, "root").await.unwrap();
        assert_eq!((&listed[0].id, listed[0].last_used_at_ms), (&key.id, None));
    }

    async fn the_address_and_key_of_a_system_provider_become_its_first(t) {
        let models = Models::new(t.store.clone(), t.sealer.clone(), t.ids.clone(), true);
        let sealed = t.sealer.seal("system_provider:p", &Secret::new("sk-operator-0123456789".to_owned())).unwrap();
        // Back to migration 17.
        run(&t, &[
            "DROP TABLE system_key",
            "DROP TABLE system_endpoint",
            "ALTER TABLE system_provider DROP COLUMN edited",
            "ALTER TABLE system_provider ADD COLUMN base_url TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE system_provider ADD COLUMN api_key_sealed TEXT",
            "INSERT INTO system_provider (name, api, base_url, api_key_sealed, updated_at_ms)
             VALUES ('local', 'openai-completions', 'http://local/v1', NULL, 5)",
            "DELETE FROM _sqlx_migrations WHERE version = 18",
        ]).await;
        let before: Result<u64, StoreError> = t.store.write(move |tx| Box::pin(tx.execute(
            "INSERT INTO system_provider (name, api, base_url, api_key_sealed, updated_at_ms)
             VALUES ('p', 'anthropic-messages', 'https://host', $1, 7)",
            params![sealed],
        ))).await;
        before.unwrap();

        Store::open(&t.url.parse().unwrap(), t.clock.clone(), &t.tasks).await.unwrap();
        let found = models.list_system_providers().await.unwrap();
        let [local, p] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((local.keys.len(), local.edited, p.edited), (0, false, false));
        assert_eq!(p.endpoints, [SystemEndpoint { base_url: "https://host".into(), weight: 1 }]);
        let key = &p.keys[0];
        assert_eq!((key.name.as_str(), key.enabled, key.created_at_ms), ("config", true, 7));
        assert_eq!(models.shown_system_key(p, key), "sk-****6789");
    }

    async fn a_price_of_the_operator_becomes_its_first_version(t) {
        // Back to migration 28.
        run(&t, &[
            "ALTER TABLE price RENAME COLUMN provider TO provider_id",
            "CREATE TABLE system_price (
                 provider_name       TEXT NOT NULL,
                 model_code          TEXT NOT NULL,
                 input_micros        BIGINT NOT NULL CHECK (input_micros >= 0),
                 cached_input_micros BIGINT NOT NULL CHECK (cached_input_micros >= 0),
                 cache_write_micros  BIGINT NOT NULL CHECK (cache_write_micros >= 0),
                 output_micros       BIGINT NOT NULL CHECK (output_micros >= 0),
                 multiplier_micros   BIGINT NOT NULL CHECK (multiplier_micros >= 0),
                 updated_at_ms       BIGINT NOT NULL,
                 PRIMARY KEY (provider_name, model_code)
             )",
            "INSERT INTO system_price VALUES ('p', 'm', 1, 2, 3, 4, 5, 6)",
            "INSERT INTO price (account_id, provider_id, model_code, effective_from_ms, input_micros, cached_input_micros,
                                cache_write_micros, output_micros, multiplier_micros, multiplier_min_micros)
             VALUES ('11', 'mpt-1', 'm', 7, 8, 8, 8, 8, 8, 0)",
            "DELETE FROM _sqlx_migrations WHERE version = 29",
        ]).await;

        let store = Store::open(&t.url.parse().unwrap(), t.clock.clone(), &t.tasks).await.unwrap();
        let credits = Credits::new(store, t.ids.clone());
        let list = credits.price_list().await.unwrap();
        let card = RateCard { input: 1, cached_input: 2, cache_write: 3, output: 4, multiplier_micros: 5 };
        let of = PriceOf::System("p".into());
        let first = Price { of: of.clone(), model_code: "m".into(), effective_from_ms: 6, card, range: None };
        assert_eq!(list.find(&of, "m"), Some(&first));
        let own = PriceOf::Own(AccountId::parse("11").unwrap(), ProviderId::parse("mpt-1").unwrap());
        let own = list.find(&own, "m").unwrap();
        assert_eq!((own.card.output, own.range.unwrap().min_micros), (8, 0));
    }

    async fn skills_of_before_keep_what_they_have_when_their_versions_come(t) {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let account = accounts.create("acme").await.unwrap().id;
        // Back to migration 30: a skill with one version that agents get and one that waits, whose key is the skill's.
        run(&t, &[
            "ALTER TABLE skill_version DROP COLUMN pending_channel",
            "ALTER TABLE skill_version DROP COLUMN pending_display_name",
            "ALTER TABLE skill_version DROP COLUMN pending_description",
            "ALTER TABLE skill_version DROP COLUMN pending_icon",
            "ALTER TABLE skill_version DROP COLUMN pending_env_sealed",
            "ALTER TABLE skill_version DROP COLUMN pending_api_key_sealed",
            "DELETE FROM _sqlx_migrations WHERE version = 31",
        ]).await;
        let id = SkillId::parse("s-00000000000000000001").unwrap();
        let sealed = t.sealer.seal(&format!("skill_api_key:{id}"), &Secret::new("key".to_owned())).unwrap();
        let (skill, owner) = (id.to_string(), account.to_string());
        let before: Result<u64, StoreError> = t.store.write(move |tx| Box::pin(async move {
            tx.execute(
                "INSERT INTO skill (id, account_id, slug, channel, display_name, description, author, enabled,
                                    api_key_sealed, current_version, created_at_ms)
                 VALUES ($1, $2, 'fish', 'BUSINESS', 'Fish', 'Tells a fish.', 'root', 1, $3, '1.0.0', 1)",
                params![&skill, &owner, &sealed],
            ).await?;
            for (version, publish, scan) in [("1.0.0", "PUBLISHED", "PASSED"), ("1.1.0", "DRAFT", "REVIEW")] {
                let manifest = r#"{"name":"fish","description":"b","required_env":[],"required_bins":[]}"#;
                let report = r#"{"Score":100,"Findings":[],"Unread":[],"FilesTotal":1,"BytesTotal":1,"BytesRead":1,
                                 "RulesVersion":"1"}"#;
                tx.execute(
                    "INSERT INTO skill_version (skill_id, account_id, version, content_hash, content_bytes, manifest_json,
                         change_log, publish_status, scan_status, scan_reason, report_json, scan_rules, scan_until_ms,
                         scan_attempts, uploaded_by, uploaded_from, package_hash, source, created_at_ms)
                     VALUES ($1, $2, $3, $4, 1, $5, '', $6, $7, '', $8, '1', 0, 0, 'root', '', '', 'upload', 1)",
                    params![&skill, &owner, version, "0".repeat(64), manifest, publish, scan, report],
                ).await?;
            }
            Ok(2)
        })).await;
        before.unwrap();

        let store = Store::open(&t.url.parse().unwrap(), t.clock.clone(), &t.tasks).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
        let objects =
            Objects::over(Arc::new(files), store.clone(), t.ids.clone(), t.sealer.clone(), t.tasks.clone());
        let key = SealKey::from_base64(&SealKey::generate_base64()).unwrap();
        let skills =
            Skills::new(store, t.ids.clone(), t.sealer.clone(), objects, Arc::new(LazyScanner::default()), key);
        assert_eq!(skills.version(&account, &id, "1.1.0").await.unwrap().pending, Pending::default());
        let review = Review { skill_id: id, version: "1.1.0".into(), decision: Decision::Approved, reason: String::new() };
        skills.review(actor_of(&t, account.as_str(), "ReviewSkillVersion"), review).await.unwrap();
        let filter = SkillFilter { channel: Channel::Business, ids: Vec::new(), nothing: false };
        let page = PageNumber { number: 1, size: 10 };
        let skill = skills.list(&account, &filter, page).await.unwrap().0.remove(0).skill;
        assert_eq!((skill.current_version.as_deref(), skill.display_name.as_str()), (Some("1.1.0"), "Fish"));
        assert!(skill.has_api_key());
    }
}
