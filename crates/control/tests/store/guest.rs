use creel_control::guest::{GuestError, Guests};
use creel_control::runtime::{CreateRuntimes, RuntimeBatch, Runtimes, SandboxStatus};
use creel_control::store::params;
use creel_testkit::{TestStore, both_databases};
use creel_wire::guest::{AgentStatus, Observation, Receipt};
use creel_wire::id::RuntimeId;
use creel_wire::secret::Secret;

use super::runtime::{actor, office_site};

/// A runtime with an enrolment token, as a reconcile pass leaves it.
async fn runtime_with_token(t: &TestStore) -> (RuntimeId, Secret) {
    let (account, site) = office_site(t).await;
    let runtimes = Runtimes::new(t.store.clone(), t.ids.clone());
    let request = CreateRuntimes {
        region_id: "cn-hangzhou".to_owned(),
        office_site_id: site,
        batches: vec![RuntimeBatch {
            bundle_id: Some("b-openclaw-linux".to_owned()),
            amount: 1,
            ..RuntimeBatch::default()
        }],
        charge_type: "PostPaid".to_owned(),
        ..CreateRuntimes::default()
    };
    let id = runtimes.create(actor(t, &account, "CreateDesktops", None), request).await.unwrap().remove(0);
    let token = Secret::new("the-token".to_owned());
    let hash = creel_control::secrets::token_hash(token.expose());
    let until_ms = t.store.clock().now_ms() + creel_control::guest::ENROLL_TOKEN_MS;
    let (row_id, row_hash) = (id.to_string(), hash);
    t.store
        .write(move |tx| {
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO guest (runtime_id, enroll_token_hash, enroll_until_ms, epoch, replica_id)
                     VALUES ($1, $2, $3, 0, '')",
                    params![row_id, row_hash, until_ms],
                )
                .await
                .map(|_| ())
            })
        })
        .await
        .map_err(|error: creel_control::store::StoreError| error)
        .unwrap();
    (id, token)
}

fn seen(status: AgentStatus) -> Observation {
    Observation {
        status,
        version: Some("2026.9.6".to_owned()),
        pid: Some(1),
        starts: 1,
        memory_limited: true,
        last_error: None,
    }
}

both_databases! {
    async fn a_token_works_once_for_each_key_and_only_in_its_time(t) {
        let guests = Guests::new(t.store.clone(), t.ids.clone());
        let (id, token) = runtime_with_token(&t).await;
        let wrong = guests.enroll(&Secret::new("another".to_owned()), "key-a".to_owned()).await;
        assert!(matches!(wrong, Err(GuestError::BadToken)));

        let first = guests.enroll(&token, "key-a".to_owned()).await.unwrap();
        assert_eq!(first.runtime_id, id);
        let again = guests.enroll(&token, "key-a".to_owned()).await.unwrap();
        assert_ne!(first.virtual_key, again.virtual_key, "a lost answer is answered anew, with a new key");
        let thief = guests.enroll(&token, "key-b".to_owned()).await;
        assert!(matches!(thief, Err(GuestError::BadToken)));

        t.clock.advance(jiff::SignedDuration::from_mins(11));
        let late = guests.enroll(&token, "key-a".to_owned()).await;
        assert!(matches!(late, Err(GuestError::BadToken)));
        let live = t.store.db()
            .fetch_all("SELECT id FROM virtual_key WHERE revoked_at_ms IS NULL", Vec::new()).await.unwrap();
        assert_eq!(live.len(), 1, "only the newest key is in force");
    }

    async fn a_newer_link_fences_the_older(t) {
        let guests = Guests::new(t.store.clone(), t.ids.clone());
        let (id, token) = runtime_with_token(&t).await;
        guests.enroll(&token, "key-a".to_owned()).await.unwrap();
        let old = guests.open_link(&id, "replica-1").await.unwrap();
        let new = guests.open_link(&id, "replica-2").await.unwrap();
        assert!(new > old);
        guests.close_link(&id, old).await.unwrap();
        assert_eq!(guests.find(&id).await.unwrap().unwrap().replica_id, "replica-2");
        guests.close_link(&id, new).await.unwrap();
        assert_eq!(guests.find(&id).await.unwrap().unwrap().replica_id, "");
    }

    async fn a_replica_reads_the_wishes_for_the_guests_that_it_holds(t) {
        let guests = Guests::new(t.store.clone(), t.ids.clone());
        let (id, token) = runtime_with_token(&t).await;
        guests.enroll(&token, "key-a".to_owned()).await.unwrap();
        let epoch = guests.open_link(&id, "replica-1").await.unwrap();
        let marks = guests.wish_marks("replica-1").await.unwrap();
        let mark = marks.first().unwrap();
        assert_eq!((&mark.runtime_id, mark.epoch), (&id, epoch));
        assert!(mark.generation > 0 && !mark.deleted && !mark.invocations_waiting);
        assert!(guests.wish_marks("replica-2").await.unwrap().is_empty());
    }

    async fn what_a_guest_reports_shows_while_its_replica_lives(t) {
        let guests = Guests::new(t.store.clone(), t.ids.clone());
        let runtimes = Runtimes::new(t.store.clone(), t.ids.clone());
        let (id, token) = runtime_with_token(&t).await;
        guests.enroll(&token, "key-a".to_owned()).await.unwrap();
        guests.keep_alive("replica-1").await.unwrap();
        guests.open_link(&id, "replica-1").await.unwrap();
        let guest = guests.find(&id).await.unwrap().unwrap();
        guests.observe(&guest, seen(AgentStatus::Running)).await.unwrap();
        let receipt = Receipt { desired: 1_000_000_000, observed: 1_000_000_000, error: None };
        guests.receive(&guest, receipt, Some("mt-1@1".to_owned())).await.unwrap();

        let view = runtimes.get(&crate::runtime::whole(&guest.account_id), id.as_str()).await.unwrap();
        assert_eq!((view.agent_status, view.guest_online), (AgentStatus::Running, true));
        assert!(view.is_applied());
        assert_eq!(view.runtime.sandbox, SandboxStatus::Pending);
        assert_eq!(view.observed.unwrap().applied_models, "mt-1@1");

        t.clock.advance(jiff::SignedDuration::from_secs(16));
        let view = runtimes.get(&crate::runtime::whole(&guest.account_id), id.as_str()).await.unwrap();
        assert_eq!((view.agent_status, view.guest_online), (AgentStatus::Unavailable, false));
    }
}
