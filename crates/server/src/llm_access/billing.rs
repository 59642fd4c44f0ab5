//! The ledger, as the gateway sees it.

use creel_control::ledger::{self, Ledger, LedgerError, Reservation, Write};
use creel_llm::usage::Usage;
use creel_wire::money::Micros;

use crate::gateway::ports::{Billing, CallStart, Refusal, UsageSource};
use crate::http::cork;

/// Bills calls in the ledger of this process.
#[derive(Debug, Clone)]
pub(crate) struct LedgerBilling(pub(crate) Ledger);

fn refusal(refusal: ledger::Refusal) -> Refusal {
    match refusal {
        ledger::Refusal::QuotaSpent => Refusal::QuotaSpent,
        ledger::Refusal::GroupQuotaSpent => Refusal::GroupQuotaSpent,
        ledger::Refusal::PacksSpent => Refusal::PacksSpent,
        ledger::Refusal::NoPrice => Refusal::NoPrice,
        ledger::Refusal::Limited(excess) => Refusal::Limited(excess),
        ledger::Refusal::Unavailable => Refusal::Unavailable,
    }
}

fn start(start: CallStart) -> ledger::CallStart {
    ledger::CallStart {
        call_id: start.call,
        account_id: start.account,
        runtime_id: start.runtime,
        provider_id: start.provider,
        provider_name: start.provider_name,
        model_code: start.model,
        card: start.card,
        billed: start.billed,
        bound: start.bound,
        limits: start.limits,
    }
}

/// On lanes nothing leaves before the ledger's records are written, so no call waits for its own.
fn write() -> Write {
    if cork::is_here() { Write::Deferred } else { Write::Now }
}

impl Billing for LedgerBilling {
    type Held = Reservation;
    type Error = LedgerError;

    async fn remaining(&self, call: &CallStart) -> Option<Micros> {
        // A refusal is told by `reserve`, which is asked next and decides.
        self.0.remaining(&start(call.clone())).await.unwrap_or(None)
    }

    async fn reserve(&self, call: CallStart) -> Result<Reservation, Refusal> {
        self.0.reserve_by(start(call), write()).await.map_err(refusal)
    }

    async fn settle(
        &self,
        held: Reservation,
        usage: Usage,
        source: UsageSource,
    ) -> Result<Micros, LedgerError> {
        let source = match source {
            UsageSource::Upstream => ledger::UsageSource::Upstream,
            UsageSource::Estimated => ledger::UsageSource::Estimated,
        };
        self.0.settle_by(held, usage, source, write()).await
    }

    async fn release(&self, held: Reservation) {
        self.0.release(held).await;
    }
}
