//! Orders of credit packs: priced by the operator's list, approved or not, and granted. No real money moves: a price
//! is what the operator may put on a bill of its own.

use creel_wire::id::{AccountId, CreditPackId, RuntimeId};
use creel_wire::money::Micros;
use jiff::{Timestamp, ToSpan, tz::Offset};

use crate::access::{AccessError, Actor};
use crate::id_gen::IdGen;
use crate::ledger::{Pack, PackSource};
use crate::store::{Store, StoreError, Tx};

/// Orders of one account that may wait for approval.
const PENDING_MAX: i64 = 1_000;
/// How often new numbers are tried where some are taken.
const ATTEMPTS_MAX: u32 = 3;
/// Most characters of a reason.
pub const REASON_CHARS_MAX: usize = 500;

/// In what a term is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TermUnit {
    Month,
    Year,
}

impl TermUnit {
    /// As in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            TermUnit::Month => "Month",
            TermUnit::Year => "Year",
        }
    }
}

impl std::str::FromStr for TermUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Month" => Ok(TermUnit::Month),
            "Year" => Ok(TermUnit::Year),
            _ => Err("give Month or Year".to_owned()),
        }
    }
}

/// How long a pack lasts from its grant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// 1 to 6.
    pub number: i64,
    pub unit: TermUnit,
}

impl Term {
    /// When a pack ends that begins at `from_ms`: the same time of the same day (or of the month's last), in UTC.
    pub fn end_ms(self, from_ms: i64) -> i64 {
        let span = match self.unit {
            TermUnit::Month => self.number.months(),
            TermUnit::Year => self.number.years(),
        };
        let from = Timestamp::from_millisecond(from_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let end =
            Offset::UTC.to_datetime(from).checked_add(span).and_then(|end| Offset::UTC.to_timestamp(end));
        end.map_or(i64::MAX, Timestamp::as_millisecond)
    }
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number, self.unit.as_str())
    }
}

/// What the operator sells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Credits of one pack.
    pub credits: Micros,
    pub term: Term,
    /// Of one pack, in millionths of the currency.
    pub price: Micros,
}

/// What somebody wants to order: packs of the account, or one for each of some runtimes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// Credits of one pack.
    pub credits: Micros,
    pub term: Term,
    /// 1 to 100; the number of runtimes where there are any.
    pub packs: i64,
    /// `ecd-…` or `jvs-…`.
    pub runtime_ids: Vec<String>,
}

/// The same with what the list says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedItem {
    pub item: OrderItem,
    /// Of all its packs.
    pub price: Micros,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// Waits for the operator.
    Pending,
    Granted,
    Denied,
}

impl OrderStatus {
    /// As in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Pending => "Pending",
            OrderStatus::Granted => "Granted",
            OrderStatus::Denied => "Denied",
        }
    }
}

impl std::str::FromStr for OrderStatus {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [OrderStatus::Pending, OrderStatus::Granted, OrderStatus::Denied]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt { what: "an order's status".to_owned() })
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: i64,
    pub account_id: AccountId,
    /// Who ordered, as the audit log names it.
    pub principal: String,
    pub credits: Micros,
    pub term: Term,
    pub packs: i64,
    /// Empty: the packs are the account's.
    pub runtime_ids: Vec<RuntimeId>,
    /// Of all packs, at the time of the order.
    pub price: Micros,
    pub currency: String,
    pub status: OrderStatus,
    /// Why it was denied; empty otherwise.
    pub reason: String,
    pub created_at_ms: i64,
    pub decided_at_ms: Option<i64>,
}

/// An order and the packs that it gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    pub order: Order,
    pub pack_ids: Vec<CreditPackId>,
}

/// What is to become of new orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// They are granted in the transaction that records them.
    Given,
    /// They wait for the operator.
    Awaited,
}

/// What the operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Deny { reason: String },
}

/// What a request to order comes to before anything is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// The same request was answered before, with these orders.
    Replayed(Vec<i64>),
    New(Vec<PricedItem>),
}

/// Why an order failed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("packs of {credits} credits for {term} are not offered")]
    NotOffered { credits: Micros, term: Term },
    #[error("no runtime {0} in this account")]
    RuntimeNotFound(String),
    #[error("the price is larger than any amount")]
    PriceTooLarge,
    #[error("{PENDING_MAX} orders of the account wait for approval, the most that may")]
    TooManyPending,
    #[error("no order {0} in this account")]
    NotFound(i64),
    #[error("order {0} was decided before")]
    AlreadyDecided(i64),
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing orders")]
    Store(#[from] StoreError),
}

/// Orders and the price list.
#[derive(Debug, Clone)]
pub struct Orders {
    store: Store,
    ids: IdGen,
    currency: String,
}

impl Orders {
    /// Over a store; prices are in this currency.
    pub fn new(store: Store, ids: IdGen, currency: String) -> Self {
        Self { store, ids, currency }
    }

    /// What prices are in.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// The price list, by size and term.
    pub async fn offers(&self) -> Result<Vec<Offer>, OrderError> {
        Ok(self.store.list_offers().await?)
    }

    /// Puts an offer on the list, or changes its price.
    pub async fn set_offer(&self, actor: Actor, offer: Offer) -> Result<(), OrderError> {
        let now_ms = self.store.clock().now_ms();
        let name = format!("{} credits for {}", offer.credits, offer.term);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&name], now_ms).await?;
                    Ok(tx.put_offer(&offer, now_ms).await?)
                })
            })
            .await
    }

    /// Takes an offer off the list.
    pub async fn remove_offer(&self, actor: Actor, credits: Micros, term: Term) -> Result<(), OrderError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&format!("{credits} credits for {term}")], now_ms).await?;
                    if tx.delete_offer(credits, term).await? == 0 {
                        return Err(OrderError::NotOffered { credits, term });
                    }
                    Ok(())
                })
            })
            .await
    }

    /// What items cost by the list.
    pub async fn quote(&self, items: Vec<OrderItem>) -> Result<Vec<PricedItem>, OrderError> {
        let offers = self.store.list_offers().await?;
        items
            .into_iter()
            .map(|item| {
                let offered = |offer: &&Offer| offer.credits == item.credits && offer.term == item.term;
                let offer = offers
                    .iter()
                    .find(offered)
                    .ok_or(OrderError::NotOffered { credits: item.credits, term: item.term })?;
                let price = offer.price.0.checked_mul(item.packs).map(Micros);
                Ok(PricedItem { price: price.ok_or(OrderError::PriceTooLarge)?, item })
            })
            .collect()
    }

    /// Everything that can be said of a request before anybody is asked for approval.
    pub async fn prepare(&self, actor: &Actor, items: Vec<OrderItem>) -> Result<Prepared, OrderError> {
        if actor.client_token.is_some() {
            let actor = actor.clone();
            let replayed: Result<Option<Vec<i64>>, OrderError> =
                self.store.write(move |tx| Box::pin(async move { Ok(actor.replayed(tx).await?) })).await;
            if let Some(ids) = replayed? {
                return Ok(Prepared::Replayed(ids));
            }
        }
        for id in items.iter().flat_map(|item| &item.runtime_ids) {
            if self.store.find_agent(&actor.account_id, id).await?.is_none() {
                return Err(OrderError::RuntimeNotFound(id.clone()));
            }
        }
        Ok(Prepared::New(self.quote(items).await?))
    }

    /// Records an order for each item, all or none, and grants them where approval is given. Gives their numbers.
    pub async fn place(
        &self,
        actor: Actor,
        items: Vec<PricedItem>,
        approval: Approval,
    ) -> Result<Vec<i64>, OrderError> {
        let mut attempt = 1;
        loop {
            match self.try_place(actor.clone(), items.clone(), approval).await {
                Err(OrderError::Store(StoreError::Unique(_))) if attempt < ATTEMPTS_MAX => attempt += 1,
                other => return other,
            }
        }
    }

    async fn try_place(
        &self,
        actor: Actor,
        items: Vec<PricedItem>,
        approval: Approval,
    ) -> Result<Vec<i64>, OrderError> {
        let now_ms = self.store.clock().now_ms();
        let (ids, currency) = (self.ids.clone(), self.currency.clone());
        // Neighbours, so that they are listed in the order of the request.
        let first = ids.order();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(placed) = actor.replayed(tx).await? {
                        return Ok(placed);
                    }
                    let numbers: Vec<i64> = (first..).take(items.len()).collect();
                    let names: Vec<String> = numbers.iter().map(i64::to_string).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    if approval == Approval::Awaited
                        && tx.count_pending_orders(&actor.account_id).await? >= PENDING_MAX
                    {
                        return Err(OrderError::TooManyPending);
                    }
                    for (id, priced) in numbers.iter().zip(items) {
                        let order = order(tx, &actor, *id, priced, currency.clone(), now_ms).await?;
                        tx.insert_order(&order).await?;
                        if approval == Approval::Given {
                            grant(tx, &ids, &order, now_ms).await?;
                        }
                    }
                    actor.remember(tx, &numbers, now_ms).await?;
                    tx.touch_ledger(&actor.account_id, None).await?;
                    Ok(numbers)
                })
            })
            .await
    }

    /// Grants or denies an order that waits. Its packs begin now.
    pub async fn decide(&self, actor: Actor, id: i64, verdict: Verdict) -> Result<OrderView, OrderError> {
        let now_ms = self.store.clock().now_ms();
        let ids = self.ids.clone();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[&id.to_string()], now_ms).await?;
                    let found = tx.find_order(&actor.account_id, id).await?;
                    let mut order = found.ok_or(OrderError::NotFound(id))?;
                    if order.status != OrderStatus::Pending {
                        return Err(OrderError::AlreadyDecided(id));
                    }
                    let pack_ids = match verdict {
                        Verdict::Approve => grant(tx, &ids, &order, now_ms).await?,
                        Verdict::Deny { reason } => {
                            order.reason = reason.chars().take(REASON_CHARS_MAX).collect();
                            if tx.decide_order(id, OrderStatus::Denied, &order.reason, now_ms).await? == 0 {
                                return Err(OrderError::AlreadyDecided(id));
                            }
                            Vec::new()
                        }
                    };
                    order.status =
                        if pack_ids.is_empty() { OrderStatus::Denied } else { OrderStatus::Granted };
                    order.decided_at_ms = Some(now_ms);
                    tx.touch_ledger(&actor.account_id, None).await?;
                    Ok(OrderView { order, pack_ids })
                })
            })
            .await
    }

    /// Orders of an account, newest first: those named, or all, before one. With `pending` those that wait alone.
    pub async fn list(
        &self,
        account_id: &AccountId,
        ids: &[i64],
        pending: bool,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<OrderView>, OrderError> {
        let orders = self.store.list_orders(account_id, ids, pending, before, limit).await?;
        let numbers: Vec<i64> = orders.iter().map(|order| order.id).collect();
        let mut packs = self.store.packs_of_orders(&numbers).await?;
        let view = |order: Order| OrderView { pack_ids: packs.remove(&order.id).unwrap_or_default(), order };
        Ok(orders.into_iter().map(view).collect())
    }
}

/// The row of an order that waits, with the runtimes that it names.
async fn order(
    tx: &mut Tx,
    actor: &Actor,
    id: i64,
    PricedItem { item, price }: PricedItem,
    currency: String,
    now_ms: i64,
) -> Result<Order, OrderError> {
    let mut runtime_ids = Vec::with_capacity(item.runtime_ids.len());
    for named in item.runtime_ids {
        let found = tx.find_agent(&actor.account_id, &named).await?;
        runtime_ids.push(found.ok_or(OrderError::RuntimeNotFound(named))?.runtime_id);
    }
    Ok(Order {
        id,
        account_id: actor.account_id.clone(),
        principal: actor.principal_name(),
        credits: item.credits,
        term: item.term,
        packs: item.packs,
        runtime_ids,
        price,
        currency,
        status: OrderStatus::Pending,
        reason: String::new(),
        created_at_ms: now_ms,
        decided_at_ms: None,
    })
}

/// Makes the packs of an order that waits.
async fn grant(
    tx: &mut Tx,
    ids: &IdGen,
    order: &Order,
    now_ms: i64,
) -> Result<Vec<CreditPackId>, OrderError> {
    if tx.decide_order(order.id, OrderStatus::Granted, "", now_ms).await? == 0 {
        return Err(OrderError::AlreadyDecided(order.id));
    }
    let owners: Vec<Option<RuntimeId>> = if order.runtime_ids.is_empty() {
        (0..order.packs).map(|_| None).collect()
    } else {
        order.runtime_ids.iter().cloned().map(Some).collect()
    };
    let mut pack_ids = Vec::with_capacity(owners.len());
    for runtime_id in owners {
        let pack = Pack {
            id: ids.credit_pack(),
            account_id: order.account_id.clone(),
            runtime_id,
            source: PackSource::Purchased,
            total: order.credits,
            used: Micros::ZERO,
            starts_at_ms: now_ms,
            expires_at_ms: Some(order.term.end_ms(now_ms)),
            created_at_ms: now_ms,
            used_up_strategy: None,
        };
        tx.insert_pack(&pack, None).await?;
        tx.set_pack_order(&pack.id, order.id).await?;
        pack_ids.push(pack.id);
    }
    Ok(pack_ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_on_the_same_day_or_the_months_last() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for (from, number, unit, end) in [
            ("2026-01-31T10:00:00Z", 1, TermUnit::Month, "2026-02-28T10:00:00Z"),
            ("2026-11-30T00:00:00Z", 3, TermUnit::Month, "2027-02-28T00:00:00Z"),
            ("2028-02-29T00:00:00Z", 1, TermUnit::Year, "2029-02-28T00:00:00Z"),
        ] {
            assert_eq!(Term { number, unit }.end_ms(at(from)), at(end), "{from}");
        }
    }
}
