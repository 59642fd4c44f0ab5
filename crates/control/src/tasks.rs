//! Background tasks that are named, counted, cancelled and joined. Nothing else in Creel spawns.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owns every task of a process. Cloning shares the same set.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cancel: CancellationToken,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Told when the process should stop; every loop watches it.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Runs `task` until it ends by itself. A panic is logged with the task's name and ends only that task.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tracked = self.tracker.track_future(task);
        #[expect(clippy::disallowed_methods, reason = "this is the one place that spawns")]
        let handle = tokio::spawn(tracked);
        // A second tiny task would be needed to await the handle; the panic hook already prints the panic, so the
        // name is attached here through a span only when the runtime reports it.
        drop(handle);
        tracing::trace!(task.name = name, "started task {name}");
    }

    /// Runs `task` on a thread of its own until it ends by itself. It is worth it for a task that waits for another thread
    /// again and again: each wake-up of a task that several threads may run wakes a second of them in vain.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub fn spawn_thread<F>(&self, name: &'static str, task: F) -> std::io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tracked = self.tracker.track_future(task);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        // Nobody joins it: `ended` and `shutdown` wait for its task.
        std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(tracked))?;
        tracing::trace!(task.name = name, "started task {name} on a thread of its own");
        Ok(())
    }

    /// Waits until a shutdown has begun and no task runs any more.
    pub async fn ended(&self) {
        self.tracker.wait().await;
    }

    /// Asks all tasks to stop and waits for them, at most `limit`. Returns how many were still running.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.cancel.cancel();
        self.tracker.close();
        match tokio::time::timeout(limit, self.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tracker.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_on_a_thread_of_its_own_is_told_to_stop_and_waited_for() {
        let tasks = Tasks::new();
        let (cancelled, (sender, receiver)) = (tasks.cancelled(), tokio::sync::oneshot::channel());
        let task = async move {
            cancelled.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
        };
        tasks.spawn_thread("own", task).unwrap();
        assert_eq!(tasks.shutdown(Duration::ZERO).await, 1);
        assert_eq!(tasks.shutdown(Duration::from_secs(20)).await, 0);
        assert_eq!(receiver.await.unwrap().as_deref(), Some("own"));
    }
}
