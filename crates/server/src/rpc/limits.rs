//! How much one key and one account may ask for: token buckets in memory of this process, so each of several processes
//! counts for itself. Only authenticated calls come here: strangers cost no bucket.

use creel_control::access::Actor;
use creel_wire::error::{ApiError, ErrorCode};

use super::buckets::{Buckets, Rate};
use crate::config::LimitsConfig;

/// The limits of one process.
#[derive(Debug)]
pub(crate) struct Limits {
    keys: Buckets,
    accounts: Buckets,
}

/// What a second may take, and three seconds' worth at once.
fn rate(calls_per_second: u32) -> Rate {
    Rate { calls_per_second, burst: calls_per_second.saturating_mul(3) }
}

impl Limits {
    pub(crate) fn new(config: &LimitsConfig) -> Self {
        Self {
            keys: Buckets::new(rate(config.key_calls_per_second)),
            accounts: Buckets::new(rate(config.account_calls_per_second)),
        }
    }

    /// Counts a call of this actor.
    ///
    /// # Errors
    /// `Throttling.User` with the time to wait, if its key or its account has used up what it may.
    pub(super) fn admit(&self, actor: &Actor, now_ms: i64) -> Result<(), ApiError> {
        let taken = self.keys.take(actor.name(), now_ms).map_err(|wait_ms| ("key", wait_ms));
        let taken = taken.and_then(|()| {
            self.accounts.take(actor.account_id.as_str(), now_ms).map_err(|wait_ms| ("account", wait_ms))
        });
        taken.map_err(|(whose, wait_ms)| {
            let message = format!("The {whose} makes too many calls. Try again in {wait_ms} ms.");
            let mut error = ApiError::new(ErrorCode::THROTTLING_USER, message);
            error.retry_after_ms = Some(wait_ms);
            error
        })
    }
}
