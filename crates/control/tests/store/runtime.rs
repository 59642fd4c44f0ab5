use creel_control::access::{AccessError, Actor, Origin, Principal, Scope};
use creel_control::account::Accounts;
use creel_control::office_site::{OfficeSiteAttributes, OfficeSites};
use creel_control::page::PageNumber;
use creel_control::runtime::{
    AssignMode, CreateRuntimes, Management, PowerChange, RuntimeBatch, RuntimeError, RuntimeFilter, Runtimes,
    SandboxStatus,
};
use creel_control::store::{StoreError, params};
use creel_control::user::{CreateUsers, NewUser, Users};
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::{AccessKeyId, AccountId};

/// What a test does to a good request.
type Change = Box<dyn Fn(&mut CreateRuntimes)>;

struct World {
    account: AccountId,
    runtimes: Runtimes,
    site: String,
}

pub(super) fn actor(t: &TestStore, account: &AccountId, action: &'static str, token: Option<&str>) -> Actor {
    Actor {
        account_id: account.clone(),
        principal: Principal::AccessKey(AccessKeyId::parse("LTAItest").unwrap()),
        end_user: None,
        action,
        origin: Origin::default(),
        request_id: t.ids.request_id(),
        nonce: Some(t.ids.request_id()),
        client_token: token.map(str::to_owned),
        request_hash: "hash".to_owned(),
    }
}

/// Everything of an account.
pub(super) fn whole(account: &AccountId) -> Scope {
    Scope::account(account.clone())
}

/// End users of an account.
pub(super) async fn end_users(t: &TestStore, account: &AccountId, names: &[String]) {
    let users = names.iter().map(|name| NewUser { id: name.clone(), ..NewUser::default() }).collect();
    let request = CreateUsers { users, ..CreateUsers::default() };
    let made =
        Users::new(t.store.clone()).create(actor(t, account, "CreateUsers", None), request).await.unwrap();
    assert!(made.iter().all(Option::is_none), "{made:?}");
}

/// A new account with an office site.
pub(super) async fn office_site(t: &TestStore) -> (AccountId, String) {
    let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
    let account = accounts.create("acme").await.unwrap().id;
    let site = office_site_of(t, &account).await;
    (account, site)
}

pub(super) async fn office_site_of(t: &TestStore, account: &AccountId) -> String {
    let sites = OfficeSites::new(t.store.clone(), t.ids.clone());
    let site = sites
        .create(
            actor(t, account, "CreateSimpleOfficeSite", None),
            "cn-hangzhou".to_owned(),
            "main".to_owned(),
            OfficeSiteAttributes::default(),
        )
        .await
        .unwrap();
    site.to_string()
}

async fn world(t: &TestStore) -> World {
    let (account, site) = office_site(t).await;
    World { account, runtimes: Runtimes::new(t.store.clone(), t.ids.clone()), site }
}

/// One OpenClaw in an office site.
pub(super) fn one_agent(site: &str) -> CreateRuntimes {
    CreateRuntimes {
        region_id: "cn-hangzhou".to_owned(),
        office_site_id: site.to_owned(),
        batches: vec![RuntimeBatch {
            image_id: Some("imgc-0ae8jvkn4tzatayay".to_owned()),
            desktop_type: Some("cloud.space.4c.8g".to_owned()),
            amount: 1,
            name: Some("agent".to_owned()),
            ..RuntimeBatch::default()
        }],
        charge_type: "PostPaid".to_owned(),
        ..CreateRuntimes::default()
    }
}

impl World {
    fn request(&self, amount: i64) -> CreateRuntimes {
        let mut request = one_agent(&self.site);
        request.batches[0].amount = amount;
        request
    }

    async fn names(&self, filter: &RuntimeFilter) -> Vec<String> {
        let page = PageNumber { number: 1, size: 100 };
        let (views, total) = self.runtimes.list(&whole(&self.account), filter.clone(), page).await.unwrap();
        assert_eq!(i64::try_from(views.len()).unwrap(), total, "the count uses the same filters");
        let mut names: Vec<String> = views.into_iter().map(|view| view.runtime.name).collect();
        names.sort();
        names
    }
}

both_databases! {
    async fn three_hundred_are_made_in_one_request_and_paged_without_gap(t) {
        let w = world(&t).await;
        let made = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(300)).await.unwrap();
        assert_eq!(made.len(), 300);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = w.runtimes.list_after(&whole(&w.account), RuntimeFilter::default(), after, 70).await.unwrap();
            assert_eq!(page.total, 300);
            seen.extend(page.items.into_iter().map(|view| view.runtime.id));
            after = page.next;
            if after.is_none() { break }
        }
        let mut sorted = made.clone();
        sorted.sort();
        seen.sort();
        assert_eq!(seen, sorted);
        let (last, _) = w.runtimes.list(
            &whole(&w.account), RuntimeFilter::default(), PageNumber { number: 15, size: 20 },
        ).await.unwrap();
        assert_eq!(last.len(), 20);
    }

    async fn an_equal_request_with_the_same_token_makes_nothing_new(t) {
        let w = world(&t).await;
        let first = w.runtimes
            .create(actor(&t, &w.account, "CreateDesktops", Some("token")), w.request(2)).await.unwrap();
        let second = w.runtimes
            .create(actor(&t, &w.account, "CreateDesktops", Some("token")), w.request(2)).await.unwrap();
        assert_eq!(first, second);
        assert_eq!(w.names(&RuntimeFilter::default()).await.len(), 2);

        let mut other = actor(&t, &w.account, "CreateDesktops", Some("token"));
        other.request_hash = "another".to_owned();
        let refused = w.runtimes.create(other, w.request(3)).await;
        assert!(matches!(refused, Err(RuntimeError::Access(AccessError::TokenReused))));
    }

    async fn a_replayed_nonce_makes_nothing(t) {
        let w = world(&t).await;
        let original = actor(&t, &w.account, "CreateDesktops", None);
        let mut replay = actor(&t, &w.account, "CreateDesktops", None);
        replay.nonce.clone_from(&original.nonce);
        w.runtimes.create(original, w.request(1)).await.unwrap();
        let refused = w.runtimes.create(replay, w.request(1)).await;
        assert!(matches!(refused, Err(RuntimeError::Access(AccessError::NonceUsed))));
        assert_eq!(w.names(&RuntimeFilter::default()).await.len(), 1);
    }

    async fn bad_requests_change_nothing(t) {
        let w = world(&t).await;
        let cases: Vec<(&str, Change)> = vec![
            ("amount", Box::new(|r| r.batches[0].amount = 0)),
            ("amount", Box::new(|r| r.batches[0].amount = 301)),
            ("site", Box::new(|r| r.office_site_id = "cn-hangzhou+dir-none".to_owned())),
            ("site", Box::new(|r| r.region_id = "cn-beijing".to_owned())),
            ("image", Box::new(|r| r.batches[0].image_id = Some("m-none".to_owned()))),
            ("bundle", Box::new(|r| r.batches[0].bundle_id = Some("b-none".to_owned()))),
            ("type", Box::new(|r| r.batches[0].desktop_type = None)),
            ("name", Box::new(|r| r.batches[0].name = Some("x".repeat(65)))),
            ("user", Box::new(|r| r.batches[0].users = vec!["a b".to_owned()])),
            ("user", Box::new(|r| r.batches[0].users = vec!["alice".to_owned()])),
            ("users", Box::new(|r| {
                r.assign_mode = AssignMode::PerUser;
                r.batches[0].users = vec!["a".to_owned(), "b".to_owned()];
            })),
            ("credits", Box::new(|r| r.monthly_credits = Some(0))),
        ];
        for (what, change) in cases {
            let mut request = w.request(1);
            change(&mut request);
            let outcome = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), request).await;
            let right = match &outcome {
                Err(RuntimeError::Amount(_)) => what == "amount",
                Err(RuntimeError::OfficeSiteNotFound(_)) => what == "site",
                Err(RuntimeError::ImageNotFound(_)) => what == "image",
                Err(RuntimeError::BundleNotFound(_)) => what == "bundle",
                Err(RuntimeError::DesktopTypeNotFound(_)) => what == "type",
                Err(RuntimeError::Name) => what == "name",
                Err(RuntimeError::UserNotFound(_)) => what == "user",
                Err(RuntimeError::AmountNotTimesOfUsers { .. }) => what == "users",
                Err(RuntimeError::MonthlyCredits) => what == "credits",
                _ => false,
            };
            assert!(right, "{what}: {outcome:?}");
        }
        assert!(w.names(&RuntimeFilter::default()).await.is_empty());
    }

    async fn users_are_given_to_all_or_dealt_out(t) {
        let w = world(&t).await;
        let users = vec!["alice".to_owned(), "bob".to_owned()];
        end_users(&t, &w.account, &users).await;
        let mut dealt = w.request(4);
        dealt.assign_mode = AssignMode::PerUser;
        dealt.batches[0].users.clone_from(&users);
        w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), dealt).await.unwrap();
        let of = |user: &str| RuntimeFilter { users: vec![user.to_owned()], ..RuntimeFilter::default() };
        assert_eq!(w.names(&of("alice")).await, ["agent0001", "agent0003"]);
        assert_eq!(w.names(&of("bob")).await, ["agent0002", "agent0004"]);
        let without = RuntimeFilter { has_user: Some(false), ..RuntimeFilter::default() };
        assert!(w.names(&without).await.is_empty());
    }

    async fn every_filter_finds_what_it_names_and_nothing_else(t) {
        let w = world(&t).await;
        let mut jvs = w.request(1);
        jvs.batches[0] = RuntimeBatch {
            bundle_id: Some("b-openclaw-linux".to_owned()), amount: 1, name: Some("jvs".to_owned()),
            ..RuntimeBatch::default()
        };
        jvs.tags = vec![("team".to_owned(), "red".to_owned())];
        let jvs_id = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), jvs).await.unwrap().remove(0);
        let mut windows = w.request(1);
        windows.batches[0].image_id = Some("imgc-0aae4rxv3pz7idcot".to_owned());
        windows.batches[0].name = Some("windows".to_owned());
        w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), windows).await.unwrap();

        let text = |s: &str| vec![s.to_owned()];
        let all = RuntimeFilter::default;
        let outer = w.runtimes.get(&whole(&w.account), jvs_id.as_str()).await.unwrap().runtime.jvs_id.unwrap().to_string();
        let cases = [
            (RuntimeFilter { ids: vec![outer], ..all() }, vec!["jvs"]),
            (RuntimeFilter { ids: vec![jvs_id.to_string()], ..all() }, vec!["jvs"]),
            (RuntimeFilter { names: text("windows"), ..all() }, vec!["windows"]),
            (RuntimeFilter { agent_platforms: text("ENTERPRISE_JVS"), ..all() }, vec!["jvs"]),
            (RuntimeFilter { agent_providers: text("HermesAgent"), ..all() }, vec![]),
            (RuntimeFilter { os_types: text("Windows"), ..all() }, vec!["windows"]),
            (RuntimeFilter { sandbox_statuses: text("Pending"), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { sandbox_statuses: text("Running"), ..all() }, vec![]),
            (RuntimeFilter { agent_statuses: text("Undeployed"), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { agent_statuses: text("Running"), ..all() }, vec![]),
            (RuntimeFilter { agent_versions: text("OpenClaw 2026.9.6"), ..all() }, vec![]),
            (RuntimeFilter { office_site_id: Some(w.site.clone()), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { office_site_name: Some("other".to_owned()), ..all() }, vec![]),
            (RuntimeFilter { region_id: Some("cn-hangzhou".to_owned()), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { image_ids: text("imgc-0aae4rxv3pz7idcot"), ..all() }, vec!["windows"]),
            (RuntimeFilter { desktop_type: Some("cloud.space.4c.8g".to_owned()), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { charge_type: Some("PrePaid".to_owned()), ..all() }, vec![]),
            (RuntimeFilter { has_model_group: Some(true), ..all() }, vec![]),
            (RuntimeFilter { model_group_id: Some("mt-none".to_owned()), ..all() }, vec![]),
            (RuntimeFilter { has_user: Some(false), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { excluded_users: text("alice"), ..all() }, vec!["jvs", "windows"]),
            (RuntimeFilter { tags: vec![("team".to_owned(), None)], ..all() }, vec!["jvs"]),
            (RuntimeFilter { tags: vec![("team".to_owned(), Some("blue".to_owned()))], ..all() }, vec![]),
            (RuntimeFilter { nothing: true, ..all() }, vec![]),
        ];
        for (filter, expected) in cases {
            assert_eq!(w.names(&filter).await, expected, "{filter:?}");
        }
    }

    async fn a_count_is_at_most_a_second_old_and_knows_own_changes_at_once(t) {
        let w = world(&t).await;
        let total = async || {
            let page = PageNumber { number: 1, size: 1 };
            w.runtimes.list(&whole(&w.account), RuntimeFilter::default(), page).await.unwrap().1
        };
        assert_eq!(total().await, 0);
        let made = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(3)).await.unwrap();
        assert_eq!(total().await, 3);
        w.runtimes.delete(actor(&t, &w.account, "DeleteDesktops", None), vec![made[0].to_string()]).await.unwrap();
        assert_eq!(total().await, 2);
        // As another process does: without an audit row of this one.
        let sql = "UPDATE runtime SET deleted_at_ms = 1 WHERE id = $1";
        let id = made[1].to_string();
        let written: Result<u64, StoreError> =
            t.store.write(move |tx| Box::pin(async move { tx.execute(sql, params![id]).await })).await;
        written.unwrap();
        t.clock.advance(jiff::SignedDuration::from_millis(999));
        assert_eq!(total().await, 2);
        t.clock.advance(jiff::SignedDuration::from_millis(1));
        assert_eq!(total().await, 1);
    }

    async fn pages_of_several_statuses_are_merged_in_order(t) {
        let w = world(&t).await;
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for _ in 0..3 {
            t.clock.advance(jiff::SignedDuration::from_secs(1));
            w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(4)).await.unwrap();
        }
        let newest = w.runtimes.list_after(&whole(&w.account), RuntimeFilter::default(), None, 12).await.unwrap().items;
        let ids: Vec<String> = newest.iter().map(|view| view.runtime.id.to_string()).collect();
        let (gone, stopped) = (ids[1].clone(), [ids[2].clone(), ids[7].clone()]);
        w.runtimes.delete(actor(&t, &w.account, "DeleteDesktops", None), vec![gone]).await.unwrap();
        for id in stopped {
            let sql = "UPDATE runtime SET sandbox = 'Stopped' WHERE id = $1";
            let written: Result<u64, StoreError> =
                t.store.write(move |tx| Box::pin(async move { tx.execute(sql, params![id]).await })).await;
            written.unwrap();
        }
        let cases = [
            (RuntimeFilter { sandbox_statuses: text(&["Stopped", "Pending", "Pending", "Odd"]), ..RuntimeFilter::default() }, 11),
            (RuntimeFilter { sandbox_statuses: text(&["Pending", "Deleted"]), deleted: true, ..RuntimeFilter::default() }, 10),
            (RuntimeFilter { sandbox_statuses: text(&["Odd"]), ..RuntimeFilter::default() }, 0),
            (RuntimeFilter { deleted: true, ..RuntimeFilter::default() }, 12),
        ];
        for (filter, total) in cases {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let page = w.runtimes.list_after(&whole(&w.account), filter.clone(), after, 2).await.unwrap();
                assert_eq!(page.total, total, "{filter:?}");
                seen.extend(page.items.into_iter().map(|view| view.runtime.id.to_string()));
                after = page.next;
                if after.is_none() { break }
            }
            let expected: Vec<&String> = ids.iter().filter(|id| seen.contains(id)).collect();
            assert_eq!(seen.iter().collect::<Vec<_>>(), expected, "newest first: {filter:?}");
            assert_eq!(i64::try_from(seen.len()).unwrap(), total, "{filter:?}");
            let second = PageNumber { number: 2, size: 3 };
            let (views, _) = w.runtimes.list(&whole(&w.account), filter.clone(), second).await.unwrap();
            let ids: Vec<String> = views.into_iter().map(|view| view.runtime.id.to_string()).collect();
            assert_eq!(ids, seen.iter().skip(3).take(3).cloned().collect::<Vec<_>>());
        }
    }

    async fn another_account_sees_and_changes_nothing(t) {
        let w = world(&t).await;
        let made = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(1)).await.unwrap();
        let id = made[0].to_string();
        let stranger = AccountId::parse("1999").unwrap();
        assert!(matches!(w.runtimes.get(&whole(&stranger), &id).await, Err(RuntimeError::NotFound(_))));
        let stopped = w.runtimes
            .set_power(actor(&t, &stranger, "StopDesktops", None), vec![id.clone()], PowerChange::Stop).await;
        assert!(matches!(stopped, Err(RuntimeError::NotFound(_))));
        let deleted = w.runtimes.delete(actor(&t, &stranger, "DeleteDesktops", None), vec![id.clone()]).await;
        assert!(matches!(deleted, Err(RuntimeError::NotFound(_))));
        assert_eq!(w.runtimes.get(&whole(&w.account), &id).await.unwrap().runtime.deleted_at_ms, None);
    }

    async fn one_unknown_id_leaves_all_as_they_were(t) {
        let w = world(&t).await;
        let made = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(1)).await.unwrap();
        let ids = vec![made[0].to_string(), "ecd-none".to_owned()];
        let outcome = w.runtimes.delete(actor(&t, &w.account, "DeleteDesktops", None), ids).await;
        assert!(matches!(outcome, Err(RuntimeError::NotFound(id)) if id == "ecd-none"));
        assert_eq!(w.names(&RuntimeFilter::default()).await.len(), 1);
    }

    async fn hibernation_shows_and_filters_on_its_way_in_and_out(t) {
        let w = world(&t).await;
        let made = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(1)).await.unwrap();
        let id = made[0].to_string();
        let change = async |change| {
            w.runtimes.set_power(actor(&t, &w.account, "HibernateDesktops", None), vec![id.clone()], change).await
        };
        let shows = async |wanted: Management| {
            for flag in [Management::NoFlag, Management::Hibernating, Management::Hibernated, Management::WakingUp] {
                let found = w.names(&RuntimeFilter { management: Some(flag), ..RuntimeFilter::default() }).await;
                assert_eq!(found.len(), usize::from(flag == wanted), "{flag:?} while {wanted:?}");
            }
            assert_eq!(w.runtimes.get(&whole(&w.account), &id).await.unwrap().runtime.management(), wanted);
        };
        let refused = |result| matches!(result, Err(RuntimeError::WrongStatus { .. }));
        let record = async |sandbox: &'static str| {
            let sql = "UPDATE runtime SET sandbox = $1";
            let written: Result<u64, StoreError> =
                t.store.write(move |tx| Box::pin(async move { tx.execute(sql, params![sandbox]).await })).await;
            written.unwrap();
            // Without an audit row: counts of before may be shown for a second.
            t.clock.advance(jiff::SignedDuration::from_secs(1));
        };
        assert!(refused(change(PowerChange::Hibernate).await), "what never ran cannot hibernate");
        record("Running").await;
        change(PowerChange::Hibernate).await.unwrap();
        shows(Management::Hibernating).await;
        record("Stopped").await;
        shows(Management::Hibernated).await;
        change(PowerChange::Hibernate).await.unwrap();
        assert!(refused(change(PowerChange::Reboot).await));
        change(PowerChange::Wake).await.unwrap();
        shows(Management::WakingUp).await;
        change(PowerChange::Wake).await.unwrap();
        change(PowerChange::Stop).await.unwrap();
        shows(Management::NoFlag).await;
        assert!(refused(change(PowerChange::Wake).await), "what was stopped is started");
        assert!(refused(change(PowerChange::Hibernate).await));
    }

    async fn without_a_driver_runtimes_run_stop_and_go(t) {
        let w = world(&t).await;
        let reconciler = creel_control::reconcile::Reconciler::new(t.store.clone(), None, String::new());
        reconciler.start(&t.tasks);
        let made = w.runtimes.create(actor(&t, &w.account, "CreateDesktops", None), w.request(1)).await.unwrap();
        let id = made[0].to_string();
        until(&w, &id, SandboxStatus::Running).await;
        let stop = actor(&t, &w.account, "StopDesktops", None);
        w.runtimes.set_power(stop, vec![id.clone()], PowerChange::Stop).await.unwrap();
        until(&w, &id, SandboxStatus::Stopped).await;
        let reboot = actor(&t, &w.account, "RebootDesktops", None);
        let refused = w.runtimes.set_power(reboot, vec![id.clone()], PowerChange::Reboot).await;
        assert!(matches!(refused, Err(RuntimeError::WrongStatus { .. })));
        w.runtimes.delete(actor(&t, &w.account, "DeleteDesktops", None), vec![id.clone()]).await.unwrap();
        assert!(w.names(&RuntimeFilter::default()).await.is_empty());
        let deleted = RuntimeFilter {
            deleted: true, sandbox_statuses: vec!["Deleted".to_owned()], ..RuntimeFilter::default()
        };
        assert_eq!(w.names(&deleted).await, ["agent"]);
        t.tasks.shutdown(std::time::Duration::from_secs(5)).await;
    }
}

async fn until(w: &World, id: &str, status: SandboxStatus) {
    for _ in 0..200 {
        if w.runtimes.get(&whole(&w.account), id).await.unwrap().runtime.sandbox == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("runtime {id} did not become {status:?}");
}
