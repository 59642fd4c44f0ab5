//! What was captured: written in batches by gateways, listed without content, read one by one.

use std::sync::Arc;

use creel_wire::id::{AccountId, CallId, RuntimeId};
use creel_wire::secret::Secret;

use super::{CaptureError, Terms};
use crate::access::{Actor, Scope};
use crate::page::{Cursor, Page};
use crate::secrets::Sealer;
use crate::store::Store;

const DAY_MS: i64 = 24 * 3_600_000;

/// What a gateway has kept of a call, in clear.
pub struct CapturedContent {
    pub call_id: CallId,
    pub account_id: AccountId,
    pub runtime_id: RuntimeId,
    pub model_code: String,
    pub terms: Terms,
    pub created_at_ms: i64,
    /// Its first bytes, and how many there were.
    pub request: Vec<u8>,
    pub request_bytes: u64,
    /// The same of what was sent on to the client.
    pub answer: Vec<u8>,
    pub answer_bytes: u64,
}

impl std::fmt::Debug for CapturedContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturedContent").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}

/// A captured call as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedCall {
    pub call_id: String,
    pub account_id: AccountId,
    pub runtime_id: String,
    pub model_code: String,
    pub request_bytes: i64,
    /// Bytes of it that are kept.
    pub request_kept: i64,
    pub answer_bytes: i64,
    /// Bytes of it that are kept.
    pub answer_kept: i64,
    pub created_at_ms: i64,
    pub expires_at_ms: i64,
}

impl CapturedCall {
    /// Not all of the request is kept.
    pub fn is_request_truncated(&self) -> bool {
        self.request_kept < self.request_bytes
    }

    /// Not all of the answer is kept.
    pub fn is_answer_truncated(&self) -> bool {
        self.answer_kept < self.answer_bytes
    }
}

/// A captured call with its content.
#[derive(Debug)]
pub struct Captured {
    pub call: CapturedCall,
    pub request: Secret,
    pub answer: Secret,
}

/// A row with its sealed content.
pub(crate) struct SealedCall {
    pub(crate) call: CapturedCall,
    pub(crate) request_sealed: String,
    pub(crate) answer_sealed: String,
}

/// Which captured calls.
#[derive(Debug, Clone, Default)]
pub struct CapturedFilter {
    /// Empty: all.
    pub call_ids: Vec<String>,
    /// Empty: all.
    pub runtime_ids: Vec<String>,
    /// Inclusive.
    pub from_ms: Option<i64>,
    /// Exclusive.
    pub until_ms: Option<i64>,
}

/// Captured calls.
#[derive(Debug, Clone)]
pub struct Captures {
    store: Store,
    sealer: Arc<Sealer>,
}

impl Captures {
    /// Over a store.
    pub fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    /// Seals and writes what gateways have kept.
    pub async fn record(&self, contents: Vec<CapturedContent>) -> Result<(), CaptureError> {
        let sealer = self.sealer.clone();
        let seal = move || {
            contents.into_iter().map(|content| sealed(&sealer, content)).collect::<Result<Vec<_>, _>>()
        };
        let rows = tokio::task::spawn_blocking(seal).await.map_err(|_| CaptureError::Stopped)??;
        self.store.write(move |tx| Box::pin(async move { Ok(tx.insert_captured(&rows).await?) })).await
    }

    /// One page of what is kept, newest first, without content; not counted.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: &CapturedFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<CapturedCall>, CaptureError> {
        let now_ms = self.store.clock().now_ms();
        Ok(self.store.list_captured(&scope.account_id, filter, now_ms, after, limit).await?)
    }

    /// The content of a call of this runtime. Leaves an audit row; without that it is not given.
    pub async fn read(
        &self,
        actor: Actor,
        runtime_id: &str,
        call_id: &str,
    ) -> Result<Captured, CaptureError> {
        let now_ms = self.store.clock().now_ms();
        let (runtime_id, call_id) = (runtime_id.to_owned(), call_id.to_owned());
        let found = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&runtime_id, &call_id], now_ms).await?;
                    let found = tx.find_captured(&actor.account_id, &runtime_id, &call_id, now_ms).await?;
                    found.ok_or(CaptureError::NotFound(call_id))
                })
            })
            .await?;
        let sealer = self.sealer.clone();
        let open = move || {
            let context = |part| context(&found.call.account_id, &found.call.call_id, part);
            let request = sealer.open(&context("request"), &found.request_sealed)?;
            let answer = sealer.open(&context("answer"), &found.answer_sealed)?;
            Ok(Captured { call: found.call, request, answer })
        };
        tokio::task::spawn_blocking(open).await.map_err(|_| CaptureError::Stopped)?
    }
}

/// For which row a body is sealed: moved to another call or account it does not open.
fn context(account_id: &AccountId, call_id: &str, part: &str) -> String {
    format!("captured_call:{account_id}:{call_id}:{part}")
}

fn sealed(sealer: &Sealer, content: CapturedContent) -> Result<SealedCall, CaptureError> {
    let call_id = content.call_id.to_string();
    let seal = |part, bytes: Vec<u8>| {
        // What is no text was cut within a character, or is none of any dialect.
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        sealer.seal(&context(&content.account_id, &call_id, part), &Secret::new(text))
    };
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (request_kept, answer_kept) = (size(content.request.len() as u64), size(content.answer.len() as u64));
    let request_sealed = seal("request", content.request)?;
    let answer_sealed = seal("answer", content.answer)?;
    let call = CapturedCall {
        call_id,
        account_id: content.account_id,
        runtime_id: content.runtime_id.to_string(),
        model_code: content.model_code,
        request_bytes: size(content.request_bytes),
        request_kept,
        answer_bytes: size(content.answer_bytes),
        answer_kept,
        created_at_ms: content.created_at_ms,
        expires_at_ms: content.created_at_ms.saturating_add(content.terms.retention_days * DAY_MS),
    };
    Ok(SealedCall { call, request_sealed, answer_sealed })
}
