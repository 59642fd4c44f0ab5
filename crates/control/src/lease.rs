//! Claims on work: short, and renewed for as long as the work takes, so that what a process leaves behind that is killed
//! in the middle waits for seconds.

use std::future::Future;
use std::time::Duration;

use crate::store::StoreError;

/// How long after a process's last sign of life another one may take its work, in milliseconds.
pub(crate) const LEASE_MS: i64 = 10_000;
/// Work that takes longer says so at this pace.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// Does the work, and calls `renew` at intervals until it is done. A renewal that fails is only a line in the log: the
/// next may do, and work that two processes do is done twice and no worse.
pub(crate) async fn kept<T, R>(work: impl Future<Output = T>, renew: impl Fn() -> R) -> T
where
    R: Future<Output = Result<(), StoreError>>,
{
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(RENEW_EVERY, &mut work).await {
            Ok(done) => return done,
            Err(_elapsed) => {
                if let Err(error) = renew().await {
                    tracing::warn!(error = %error, "keeping a claim on work that takes long failed");
                }
            }
        }
    }
}
