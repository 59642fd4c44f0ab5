//! Rows of orders and of the price list.

use std::collections::HashMap;

use creel_wire::id::{AccountId, CreditPackId, RuntimeId};
use creel_wire::money::Micros;
use sea_query::{Expr, ExprTrait, Order as Sort, Query};

use super::{Row, Store, StoreError, Tx, params};
use crate::order::{Offer, Order, OrderStatus, Term, TermUnit};

/// Offers that the list holds at the most.
const OFFERS_MAX: i64 = 1_000;

const COLUMNS: [&str; 13] = [
    "id",
    "account_id",
    "principal",
    "credit_micros",
    "packs",
    "period",
    "period_unit",
    "price_micros",
    "currency",
    "runtime_ids_json",
    "status",
    "reason",
    "created_at_ms",
];

fn term(row: &Row) -> Result<Term, StoreError> {
    Ok(Term { number: row.int("period")?, unit: row.parse::<TermUnit>("period_unit")? })
}

fn order(row: &Row) -> Result<Order, StoreError> {
    Ok(Order {
        id: row.int("id")?,
        account_id: row.parse("account_id")?,
        principal: row.text("principal")?,
        credits: Micros(row.int("credit_micros")?),
        term: term(row)?,
        packs: row.int("packs")?,
        runtime_ids: row.json::<Vec<RuntimeId>>("runtime_ids_json")?,
        price: Micros(row.int("price_micros")?),
        currency: row.text("currency")?,
        status: row.text("status")?.parse()?,
        reason: row.text("reason")?,
        created_at_ms: row.int("created_at_ms")?,
        decided_at_ms: row.opt_int("decided_at_ms")?,
    })
}

impl Store {
    /// The price list, by size and term.
    pub(crate) async fn list_offers(&self) -> Result<Vec<Offer>, StoreError> {
        let sql = "SELECT credit_micros, period, period_unit, price_micros FROM credit_offer
                   ORDER BY credit_micros, period_unit, period LIMIT $1";
        let rows = self.db().fetch_all(sql, params![OFFERS_MAX]).await?;
        rows.iter()
            .map(|row| {
                let credits = Micros(row.int("credit_micros")?);
                Ok(Offer { credits, term: term(row)?, price: Micros(row.int("price_micros")?) })
            })
            .collect()
    }

    /// Orders of an account, newest first: those named, or all; with `pending` those that wait alone.
    pub(crate) async fn list_orders(
        &self,
        account_id: &AccountId,
        ids: &[i64],
        pending: bool,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Order>, StoreError> {
        let mut select = Query::select();
        select
            .from("credit_order")
            .columns(COLUMNS)
            .column("decided_at_ms")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .order_by("id", Sort::Desc)
            .limit(limit.unsigned_abs());
        if !ids.is_empty() {
            select.and_where(Expr::col("id").is_in(ids.iter().copied()));
        }
        if pending {
            // Written out: an index over some rows serves only a condition that is known when the statement is planned.
            select.and_where(Expr::cust("status = 'Pending'"));
        }
        if let Some(before) = before {
            select.and_where(Expr::col("id").lt(before));
        }
        self.db().select(&select).await?.iter().map(order).collect()
    }

    /// The packs that these orders gave.
    pub(crate) async fn packs_of_orders(
        &self,
        orders: &[i64],
    ) -> Result<HashMap<i64, Vec<CreditPackId>>, StoreError> {
        let mut found: HashMap<i64, Vec<CreditPackId>> = HashMap::new();
        if orders.is_empty() {
            return Ok(found);
        }
        let mut select = Query::select();
        select
            .from("credit_pack")
            .columns(["order_id", "id"])
            .and_where(Expr::col("order_id").is_in(orders.iter().copied()))
            .order_by("order_id", Sort::Asc)
            .order_by("id", Sort::Asc);
        for row in self.db().select(&select).await? {
            found.entry(row.int("order_id")?).or_default().push(row.parse("id")?);
        }
        Ok(found)
    }
}

impl Tx {
    /// Puts an offer on the list, or changes its price.
    pub(crate) async fn put_offer(&mut self, offer: &Offer, now_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO credit_offer (credit_micros, period, period_unit, price_micros, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (credit_micros, period, period_unit)
             DO UPDATE SET price_micros = excluded.price_micros, updated_at_ms = excluded.updated_at_ms",
            params![offer.credits.0, offer.term.number, offer.term.unit.as_str(), offer.price.0, now_ms],
        )
        .await?;
        Ok(())
    }

    /// Takes an offer off the list; gives the number of rows.
    pub(crate) async fn delete_offer(&mut self, credits: Micros, term: Term) -> Result<u64, StoreError> {
        self.execute(
            "DELETE FROM credit_offer WHERE credit_micros = $1 AND period = $2 AND period_unit = $3",
            params![credits.0, term.number, term.unit.as_str()],
        )
        .await
    }

    /// How many orders of an account wait.
    pub(crate) async fn count_pending_orders(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM credit_order
                   WHERE account_id = $1 AND status = 'Pending'";
        let row = self.fetch_optional(sql, params![account_id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// An order of an account.
    pub(crate) async fn find_order(
        &mut self,
        account_id: &AccountId,
        id: i64,
    ) -> Result<Option<Order>, StoreError> {
        let sql = format!(
            "SELECT {}, decided_at_ms FROM credit_order WHERE id = $1 AND account_id = $2",
            COLUMNS.join(", ")
        );
        self.fetch_optional(sql, params![id, account_id.as_str()]).await?.as_ref().map(order).transpose()
    }

    /// Records an order that waits.
    pub(crate) async fn insert_order(&mut self, order: &Order) -> Result<(), StoreError> {
        let runtimes = serde_json::to_string(&order.runtime_ids)
            .map_err(|_| StoreError::Corrupt { what: "runtimes of an order".to_owned() })?;
        let values = params![
            order.id,
            order.account_id.as_str(),
            &order.principal,
            order.credits.0,
            order.packs,
            order.term.number,
            order.term.unit.as_str(),
            order.price.0,
            &order.currency,
            runtimes,
            order.status.as_str(),
            &order.reason,
            order.created_at_ms,
        ];
        self.insert_many("credit_order", &COLUMNS, vec![values]).await
    }

    /// Decides an order that waits; gives 0 where it does not wait any more.
    pub(crate) async fn decide_order(
        &mut self,
        id: i64,
        status: OrderStatus,
        reason: &str,
        now_ms: i64,
    ) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE credit_order SET status = $2, reason = $3, decided_at_ms = $4
             WHERE id = $1 AND status = 'Pending'",
            params![id, status.as_str(), reason, now_ms],
        )
        .await
    }

    /// Says which order a pack comes from.
    pub(crate) async fn set_pack_order(
        &mut self,
        pack_id: &CreditPackId,
        order_id: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE credit_pack SET order_id = $2 WHERE id = $1",
            params![pack_id.as_str(), order_id],
        )
        .await?;
        Ok(())
    }
}
