//! Pages far behind in a list of runtimes: rows met before are where the next reading begins.

use creel_control::page::PageNumber;
use creel_control::runtime::{RuntimeFilter, Runtimes};
use creel_testkit::{TestStore, both_databases};
use creel_wire::id::AccountId;

use super::plans::fill;
use super::runtime::{actor, whole};

const SIZE: i64 = 100;

struct World {
    account: AccountId,
    runtimes: Runtimes,
}

async fn world(t: &TestStore) -> World {
    fill(t).await;
    let account = AccountId::parse("11").unwrap();
    World { account, runtimes: Runtimes::new(t.store.clone(), t.ids.clone()) }
}

impl World {
    async fn page(&self, filter: &RuntimeFilter, number: i64) -> Vec<String> {
        let page = PageNumber { number, size: SIZE };
        let (views, _) = self.runtimes.list(&whole(&self.account), filter.clone(), page).await.unwrap();
        views.iter().map(|view| view.runtime.id.to_string()).collect()
    }

    /// The whole list, by tokens.
    async fn all(&self, filter: &RuntimeFilter) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page =
                self.runtimes.list_after(&whole(&self.account), filter.clone(), after, 100).await.unwrap();
            all.extend(page.items.iter().map(|view| view.runtime.id.to_string()));
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }
}

both_databases! {
    async fn pages_in_any_order_are_those_of_the_list(t) {
        let w = world(&t).await;
        let live = RuntimeFilter::default();
        let with_deleted = RuntimeFilter { deleted: true, ..RuntimeFilter::default() };
        for filter in [live, with_deleted] {
            let all = w.all(&filter).await;
            assert!(all.len() > 5_000, "{}", all.len());
            // Again, on from there, back, between two that are known, and behind the end.
            for number in [30, 30, 31, 7, 40, 35, 34, 55, 6, 99, 100] {
                let begin = usize::try_from((number - 1) * SIZE).unwrap();
                let expect = all.iter().skip(begin).take(100).cloned().collect::<Vec<_>>();
                assert_eq!(w.page(&filter, number).await, expect, "page {number}");
            }
        }
    }

    async fn a_change_moves_deep_pages_at_once_and_others_changes_do_within_a_second(t) {
        let w = world(&t).await;
        let filter = RuntimeFilter::default();
        let before = w.page(&filter, 30).await;
        let first = w.page(&filter, 1).await[0].clone();
        w.runtimes.delete(actor(&t, &w.account, "DeleteDesktops", None), vec![first]).await.unwrap();
        let after = w.page(&filter, 30).await;
        assert_eq!(after[..99], before[1..]);

        // Another process deletes one.
        let second = w.page(&filter, 1).await[0].clone();
        let sql = format!("UPDATE runtime SET deleted_at_ms = 1 WHERE id = '{second}'");
        let done: Result<u64, creel_control::store::StoreError> =
            t.store.write(move |tx| Box::pin(async move { tx.execute(sql, vec![]).await })).await;
        done.unwrap();
        t.clock.advance(jiff::SignedDuration::from_secs(1));
        assert_eq!(w.page(&filter, 30).await[..98], before[2..]);
    }
}
