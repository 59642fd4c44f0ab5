//! What a controller leaves behind that dies in the middle of a pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use creel_control::driver::{Driver, DriverError, RuntimeId, SandboxSpec, SandboxState};
use creel_control::reconcile::Reconciler;
use creel_control::runtime::Runtimes;
use creel_control::tasks::Tasks;
use creel_testkit::both_databases;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;

use crate::runtime::{actor, office_site, one_agent};

/// Counts the starts it is asked for; each of them takes for ever.
#[derive(Debug, Default)]
struct Slow {
    asked: AtomicUsize,
}

impl Slow {
    async fn is_asked(&self, times: usize) -> bool {
        for _ in 0..400 {
            if self.asked.load(Ordering::SeqCst) >= times {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Driver for Slow {
    fn ensure_running<'a>(&'a self, _: &'a SandboxSpec) -> BoxFuture<'a, Result<(), DriverError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }

    fn ensure_stopped<'a>(&'a self, _: &'a RuntimeId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }

    fn ensure_absent<'a>(&'a self, _: &'a RuntimeId) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async { Ok(()) })
    }

    fn observe<'a>(&'a self, _: &'a RuntimeId) -> BoxFuture<'a, Result<SandboxState, DriverError>> {
        Box::pin(async { Ok(SandboxState::Absent) })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RuntimeId>, DriverError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

both_databases! {
    async fn another_controller_takes_over_ten_seconds_after_one_died_in_a_pass(t) {
        let (account, site) = office_site(&t).await;
        let runtimes = Runtimes::new(t.store.clone(), t.ids.clone());
        let make = actor(&t, &account, "CreateDesktops", None);
        runtimes.create(make, one_agent(&site)).await.unwrap();
        let start = |driver: &Arc<Slow>| {
            let tasks = Tasks::new();
            Reconciler::new(t.store.clone(), Some(driver.clone()), String::new()).start(&tasks);
            tasks
        };
        let first = Arc::new(Slow::default());
        let dies = start(&first);
        assert!(first.is_asked(1).await);
        dies.shutdown(Duration::from_secs(5)).await;

        let second = Arc::new(Slow::default());
        let lives = start(&second);
        t.clock.advance(SignedDuration::from_secs(9));
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(second.asked.load(Ordering::SeqCst), 0, "the first may still be at it");
        t.clock.advance(SignedDuration::from_secs(2));
        assert!(second.is_asked(1).await);

        // It lives: a pass that takes longer stays its own.
        let third = Arc::new(Slow::default());
        let waits = start(&third);
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(3_200)).await;
            t.clock.advance(SignedDuration::from_secs(4));
        }
        assert_eq!(third.asked.load(Ordering::SeqCst), 0);
        for tasks in [lives, waits] {
            tasks.shutdown(Duration::from_secs(5)).await;
        }
    }
}
