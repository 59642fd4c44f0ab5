//! The ledger, as the gateway sees it.

use creel_control::ledger::{Ledger, LedgerError, Reservation, Write};
use creel_llm::usage::Usage;
use creel_wire::money::Micros;

use crate::gateway::ports::{Billing, CallStart, Refusal, UsageSource};
use crate::http::cork;

/// Bills calls in the ledger of this process.
#[derive(Debug, Clone)]
pub(crate) struct LedgerBilling(pub(crate) Ledger);

/// On lanes nothing leaves before the ledger's records are written, so no call waits for its own.
fn write() -> Write {
    if cork::is_here() { Write::Deferred } else { Write::Now }
}

impl Billing for LedgerBilling {
    type Held = Reservation;
    type Error = LedgerError;

    async fn reserve(&self, start: &CallStart) -> Result<Reservation, Refusal> {
        self.0.reserve_by(start, write()).await
    }

    fn held(held: &Reservation) -> Micros {
        held.held()
    }

    async fn settle(
        &self,
        held: Reservation,
        usage: Usage,
        source: UsageSource,
    ) -> Result<Micros, LedgerError> {
        self.0.settle_by(held, usage, source, write()).await
    }

    async fn release(&self, held: Reservation) {
        self.0.release(held).await;
    }
}
