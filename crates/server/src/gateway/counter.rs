//! Counting tokens away from the threads that serve connections: the first count of a process unpacks a vocabulary
//! (70 ms), every other takes up to some milliseconds.

use std::sync::Arc;

use bytes::Bytes;
use creel_llm::tokens::Sample;
use http::header::HeaderValue;
use http::{Response, StatusCode};
use tokio::sync::Semaphore;

use super::refusal::{self, Problem};

/// Counts at one time; others wait.
const COUNTS_MAX: usize = 1;
/// Tells that a count is not the provider's own.
const USAGE_HEADER: &str = "x-creel-usage";

/// Shared by all calls of a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Counter(Arc<Semaphore>);

impl Counter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(COUNTS_MAX)))
    }

    /// What `count` gives; `None` where the process is at its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        count: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = self.0.clone().acquire_owned().await.ok()?;
        let counted = tokio::task::spawn_blocking(move || {
            let counted = count();
            drop(place);
            counted
        });
        counted.await.ok()
    }

    /// Answers `count_tokens` as its upstream cannot: as an estimate, and says so.
    pub(crate) async fn answer(&self, model: Arc<str>, body: Bytes) -> Result<Response<Bytes>, Problem> {
        let tokens = self.run(move || Sample::of_request(&body).tokens(&model)).await;
        let tokens = tokens.ok_or_else(|| {
            let text = "The gateway is ending. Try again in a moment.";
            Problem::unavailable(StatusCode::SERVICE_UNAVAILABLE, "ending", text)
        })?;
        let mut response = refusal::json(&serde_json::json!({"input_tokens": tokens}));
        response.headers_mut().insert(USAGE_HEADER, HeaderValue::from_static("estimated"));
        Ok(response)
    }
}
