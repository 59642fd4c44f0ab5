//! What is not kept for ever: messages with their answers, commands with their output, answers remembered for a
//! ClientToken, parsed packages that became nothing, captured calls. The audit log and the ledger keep to rules of their own.

use std::time::Duration;

use crate::store::{Store, StoreError};
use crate::tasks::Tasks;

const DAY_MS: i64 = 24 * 3_600_000;
/// How often is looked for what can go.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// Days that an answer is remembered for its ClientToken: far longer than any SDK retries.
const ANSWER_DAYS: i64 = 7;
/// Rows removed in one transaction, so that no writer waits long.
const BATCH_ROWS: i64 = 500;

/// Removes what has been kept long enough.
#[derive(Debug, Clone)]
pub struct Retention {
    store: Store,
    message_days: u32,
}

impl Retention {
    /// Messages and commands go this many days after their end.
    pub fn new(store: Store, message_days: u32) -> Self {
        Self { store, message_days }
    }

    /// Starts the loop.
    pub fn start(self, tasks: &Tasks) {
        let cancel = tasks.cancelled();
        tasks.spawn("retention", async move {
            let all = async {
                loop {
                    if let Err(error) = self.remove_old().await {
                        tracing::warn!(error = %error, "removing what is older than it is kept failed; it is tried again");
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            tokio::select! { () = all => {}, () = cancel.cancelled() => {} }
        });
    }

    /// Removes everything that is older than it is kept now; several processes may do so at once.
    pub async fn remove_old(&self) -> Result<(), StoreError> {
        let now_ms = self.store.clock().now_ms();
        let messages_before_ms = now_ms - i64::from(self.message_days) * DAY_MS;
        let answers_before_ms = now_ms - ANSWER_DAYS * DAY_MS;
        let packages_before_ms = now_ms - crate::skill::KEPT_MS;
        loop {
            let removed: Result<u64, StoreError> = self
                .store
                .write(move |tx| {
                    Box::pin(async move {
                        let invocations = tx.delete_invocations(messages_before_ms, BATCH_ROWS).await?;
                        let commands = tx.delete_commands(messages_before_ms, BATCH_ROWS).await?;
                        let packages = tx.delete_packages(packages_before_ms, BATCH_ROWS).await?;
                        let captured = tx.delete_captured(now_ms, BATCH_ROWS).await?;
                        Ok(invocations
                            + commands
                            + packages
                            + captured
                            + tx.delete_replays(answers_before_ms, BATCH_ROWS).await?)
                    })
                })
                .await;
            if removed? == 0 {
                return Ok(());
            }
        }
    }
}
