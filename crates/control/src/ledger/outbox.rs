//! What a gateway has asked of the owner and not been answered yet. Pure: the member moves it, and gives it an owner.
//!
//! Whoever asked may go away; the question then stays as far as it must. A reservation that nobody waits for any more
//! is given back, a settlement is delivered whatever happens.

use std::collections::{BTreeMap, VecDeque};

use super::remote::{Answer, Answered, Ask, Asked};

/// Questions that are kept at the most.
const KEPT_MAX: usize = 200_000;

#[derive(Debug)]
struct Item<R> {
    ask: Ask,
    /// Who waits for the answer.
    waiter: Option<R>,
    /// Some owner may have got it.
    sent: bool,
}

/// See the module. `R` is who waits for an answer.
#[derive(Debug)]
pub(crate) struct Outbox<R> {
    last_id: u64,
    items: BTreeMap<u64, Item<R>>,
    unsent: VecDeque<u64>,
    /// Were put off by an owner; sent again when the time comes.
    later: Vec<u64>,
}

impl<R> Default for Outbox<R> {
    fn default() -> Self {
        Self { last_id: 0, items: BTreeMap::new(), unsent: VecDeque::new(), later: Vec::new() }
    }
}

impl<R> Outbox<R> {
    /// Keeps a question; gives its number, or its waiter back where there are too many.
    pub(crate) fn ask(&mut self, ask: Ask, waiter: Option<R>) -> Result<u64, Option<R>> {
        // What must arrive is never refused: there is no more of it than there are calls.
        if self.items.len() >= KEPT_MAX && matches!(ask, Ask::Reserve(_) | Ask::Remaining(_)) {
            return Err(waiter);
        }
        self.last_id += 1;
        self.items.insert(self.last_id, Item { ask, waiter, sent: false });
        self.unsent.push_back(self.last_id);
        Ok(self.last_id)
    }

    /// The next questions for an owner that is there, at most `max`.
    pub(crate) fn batch(&mut self, max: usize) -> Vec<Asked> {
        let mut batch = Vec::new();
        while batch.len() < max
            && let Some(id) = self.unsent.pop_front()
        {
            // Questions that nobody needs answered any more are not in `items`.
            let Some(item) = self.items.get_mut(&id) else { continue };
            batch.push(Asked { id, again: std::mem::replace(&mut item.sent, true), ask: item.ask.clone() });
        }
        batch
    }

    /// Takes an answer in; gives who waited for it.
    pub(crate) fn answered(&mut self, answered: Answered) -> Option<(R, Answer)> {
        let Answered { id, answer } = answered;
        let item = self.items.get_mut(&id)?;
        let must_arrive = matches!(item.ask, Ask::Settle { .. } | Ask::Release(_));
        if answer == Answer::Unavailable && must_arrive {
            self.later.push(id);
            return None;
        }
        let Item { ask, waiter, .. } = self.items.remove(&id)?;
        if waiter.is_none() || answer == Answer::Unavailable {
            self.give_back(ask, true);
        }
        waiter.map(|waiter| (waiter, answer))
    }

    /// Whoever asked has gone away; false if the question was answered before.
    pub(crate) fn abandon(&mut self, id: u64) -> bool {
        let Some(item) = self.items.get_mut(&id) else { return false };
        item.waiter = None;
        if !item.sent && matches!(item.ask, Ask::Reserve(_) | Ask::Remaining(_)) {
            self.items.remove(&id);
        }
        true
    }

    /// The owner is gone; what it has not answered goes to the next.
    pub(crate) fn lost(&mut self) {
        let abandoned: Vec<u64> =
            self.items.iter().filter(|(_, item)| item.waiter.is_none()).map(|(id, _)| *id).collect();
        for id in abandoned {
            if let Some(item) = self.items.get_mut(&id)
                && let Ask::Reserve(start) = &item.ask
            {
                item.ask = Ask::Release(start.call_id.clone());
            }
        }
        self.items.retain(|_, item| item.waiter.is_some() || !matches!(item.ask, Ask::Remaining(_)));
        self.unsent = self.items.keys().copied().collect();
        self.later.clear();
    }

    /// There has been no owner for too long: gives those who wait to begin calls.
    pub(crate) fn give_up(&mut self) -> Vec<R> {
        let begins = |item: &Item<R>| matches!(item.ask, Ask::Reserve(_) | Ask::Remaining(_));
        let ids: Vec<u64> = self.items.iter().filter(|(_, item)| begins(item)).map(|(id, _)| *id).collect();
        let mut waiters = Vec::new();
        for id in ids {
            let Some(item) = self.items.remove(&id) else { continue };
            waiters.extend(item.waiter);
            self.give_back(item.ask, item.sent);
        }
        waiters
    }

    /// What was put off is sent again.
    pub(crate) fn try_again(&mut self) {
        self.unsent.extend(self.later.drain(..));
    }

    /// Nothing has to arrive any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn give_back(&mut self, ask: Ask, may_be_held: bool) {
        if let Ask::Reserve(start) = ask
            && may_be_held
        {
            // Only what begins a call is ever refused a place.
            let _kept = self.ask(Ask::Release(start.call_id), None);
        }
    }
}
