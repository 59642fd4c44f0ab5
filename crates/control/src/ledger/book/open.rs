//! The calls that are under way.

use std::sync::Arc;

use creel_wire::id::{CallId, CreditPackId};

use super::{Book, Group};
use crate::ledger::Label;
use crate::ledger::pack::{Pack, PackLoad};
use crate::ledger::quota::{Flight, Limit};
use crate::ledger::record::{Part, Reserve, Settle};

impl Book {
    /// Knows a pack that calls under way may hold and that cannot be spent any more, so that it was not loaded.
    pub(crate) fn know_pack(&mut self, load: PackLoad) {
        let unlisted = |load| Pack { load, flight: Flight::default(), listed: false };
        self.packs.entry(load.id.clone()).or_insert_with(|| unlisted(load));
    }

    /// Whether a pack is known.
    pub(crate) fn knows_pack(&self, id: &CreditPackId) -> bool {
        self.packs.contains_key(id)
    }

    /// Takes over a reservation that an earlier owner of the ledger recorded. Its balances must be loaded, and its
    /// packs known. Where that owner's last records were lost, more can be held now than there is: that admits nothing.
    pub(crate) fn restore(&mut self, reserve: Arc<Reserve>, now_ms: i64) {
        if let Some(id) = &reserve.group {
            // Its runtime may be in another group by now; this one is read before its next call.
            let account_id = reserve.start.account_id.clone();
            let unread = || Group { account_id, limit: Limit::default(), fresh: false };
            self.groups.entry(id.clone()).or_insert_with(unread);
        }
        self.hold(reserve, now_ms);
    }

    /// Calls under way: those that a new journal file must still know.
    pub(crate) fn open(&self) -> impl ExactSizeIterator<Item = &Arc<Reserve>> {
        self.open.values()
    }

    /// A call that is under way.
    pub(crate) fn find_open(&self, call_id: &CallId) -> Option<&Arc<Reserve>> {
        self.open.get(call_id)
    }

    /// Gives back this reservation, if it is not another one of the same call that is under way by now.
    pub(crate) fn release_this(&mut self, reserve: &Arc<Reserve>) {
        let call_id = &reserve.start.call_id;
        if self.open.get(call_id).is_some_and(|open| Arc::ptr_eq(open, reserve)) {
            self.release(call_id);
        }
    }

    /// Calls whose deadline has passed.
    pub(crate) fn overdue(&self, now_ms: i64) -> Vec<CallId> {
        self.open_where(|reserve| reserve.deadline_ms <= now_ms)
    }

    /// Calls of gateways of which `lives` says that they do not.
    pub(crate) fn orphaned(&self, lives: impl Fn(&str) -> bool) -> Vec<CallId> {
        self.open_where(|reserve| !lives(&reserve.holder))
    }

    fn open_where(&self, wanted: impl Fn(&Reserve) -> bool) -> Vec<CallId> {
        let found = self.open.values().filter(|reserve| wanted(reserve));
        found.map(|reserve| reserve.start.call_id.clone()).collect()
    }

    /// The entries of a closed call of which only the reservation is known: what it held, as far as it is there.
    pub(super) fn unknown(&self, reserve: &Reserve, now_ms: i64) -> Settle {
        let label = Label::Unsettled;
        let (mut parts, mut lost) = (Vec::new(), 0);
        for (id, held) in &reserve.packs {
            let free = self.packs.get(id).map_or(*held, |pack| pack.free().max(0));
            let micros = free.min(*held);
            lost += held - micros;
            parts.push(Part { pack: Some(id.clone()), ..Part::of(micros, label) });
        }
        let rest = reserve.held - reserve.packs.iter().map(|(_, micros)| micros).sum::<i64>();
        if parts.is_empty() || rest > 0 {
            parts.push(Part { postpaid: reserve.postpaid && rest > 0, ..Part::of(rest, label) });
        }
        if lost > 0 {
            parts.push(Part { unbilled: lost, ..Part::of(0, Label::Overrun) });
        }
        Settle { call_id: reserve.start.call_id.clone(), usage: reserve.start.bound, parts, at_ms: now_ms }
    }
}
