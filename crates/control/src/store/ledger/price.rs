//! Prices of models.

use creel_wire::id::{AccountId, ProviderId};
use creel_wire::price::RateCard;

use super::super::{Row, Store, StoreError, Topic, Tx, Value, params};
use crate::ledger::{MultiplierRange, Price, SystemPrice};

/// Prices that one list holds at the most.
const PRICES_MAX: i64 = 100_000;

const CARD: &str = "input_micros, cached_input_micros, cache_write_micros, output_micros, multiplier_micros";

const RANGE: &str = "multiplier_min_micros, multiplier_max_micros";

fn card(row: &Row) -> Result<RateCard, StoreError> {
    Ok(RateCard {
        input: row.int("input_micros")?,
        cached_input: row.int("cached_input_micros")?,
        cache_write: row.int("cache_write_micros")?,
        output: row.int("output_micros")?,
        multiplier_micros: row.int("multiplier_micros")?,
    })
}

fn card_values(card: &RateCard) -> Vec<Value> {
    params![card.input, card.cached_input, card.cache_write, card.output, card.multiplier_micros]
}

fn price(row: &Row) -> Result<Price, StoreError> {
    Ok(Price {
        account_id: row.parse("account_id")?,
        provider_id: row.parse("provider_id")?,
        model_code: row.text("model_code")?,
        effective_from_ms: row.int("effective_from_ms")?,
        card: card(row)?,
        range: match row.opt_int("multiplier_min_micros")? {
            None => None,
            Some(min_micros) => {
                Some(MultiplierRange { min_micros, max_micros: row.opt_int("multiplier_max_micros")? })
            }
        },
    })
}

fn system_price(row: &Row) -> Result<SystemPrice, StoreError> {
    Ok(SystemPrice {
        provider_name: row.text("provider_name")?,
        model_code: row.text("model_code")?,
        card: card(row)?,
    })
}

impl Store {
    /// Prices of all accounts that are in effect at `now_ms`, one a model.
    pub(crate) async fn list_prices_in_effect(&self, now_ms: i64) -> Result<Vec<Price>, StoreError> {
        let sql = format!(
            "SELECT account_id, provider_id, model_code, effective_from_ms, {RANGE}, {CARD}
             FROM price AS p WHERE effective_from_ms =
                 (SELECT MAX(q.effective_from_ms) FROM price AS q
                  WHERE q.account_id = p.account_id AND q.provider_id = p.provider_id
                    AND q.model_code = p.model_code AND q.effective_from_ms <= $1)
             ORDER BY account_id, provider_id, model_code LIMIT $2"
        );
        self.db().fetch_all(sql, params![now_ms, PRICES_MAX]).await?.iter().map(price).collect()
    }

    /// All prices of an account, also past and coming ones.
    pub(crate) async fn list_prices(&self, account_id: &AccountId) -> Result<Vec<Price>, StoreError> {
        let sql = format!(
            "SELECT account_id, provider_id, model_code, effective_from_ms, {RANGE}, {CARD} FROM price
             WHERE account_id = $1
             ORDER BY provider_id, model_code, effective_from_ms LIMIT $2"
        );
        self.db().fetch_all(sql, params![account_id.as_str(), PRICES_MAX]).await?.iter().map(price).collect()
    }

    /// When the next price comes into effect.
    pub(crate) async fn next_price_ms(&self, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MIN(effective_from_ms) AS next_ms FROM price WHERE effective_from_ms > $1";
        let row = self.db().fetch_optional(sql, params![now_ms]).await?;
        row.map_or(Ok(None), |row| row.opt_int("next_ms"))
    }

    /// Prices of the operator's models.
    pub(crate) async fn list_system_prices(&self) -> Result<Vec<SystemPrice>, StoreError> {
        let sql = format!(
            "SELECT provider_name, model_code, {CARD} FROM system_price ORDER BY provider_name, model_code LIMIT $1"
        );
        self.db().fetch_all(sql, params![PRICES_MAX]).await?.iter().map(system_price).collect()
    }
}

impl Tx {
    /// True if the account has this provider.
    pub(crate) async fn has_provider(
        &mut self,
        account_id: &AccountId,
        provider_id: &ProviderId,
    ) -> Result<bool, StoreError> {
        let row = self
            .fetch_optional(
                "SELECT id FROM model_provider WHERE id = $1 AND account_id = $2",
                params![provider_id.as_str(), account_id.as_str()],
            )
            .await?;
        Ok(row.is_some())
    }

    /// Sets a price from its moment on.
    pub(crate) async fn put_price(&mut self, price: &Price) -> Result<(), StoreError> {
        let mut values = params![
            price.account_id.as_str(),
            price.provider_id.as_str(),
            &price.model_code,
            price.effective_from_ms,
        ];
        values.extend(card_values(&price.card));
        values.push(price.range.map(|range| range.min_micros).into());
        values.push(price.range.and_then(|range| range.max_micros).into());
        self.execute(
            "INSERT INTO price (account_id, provider_id, model_code, effective_from_ms, input_micros,
                                cached_input_micros, cache_write_micros, output_micros, multiplier_micros,
                                multiplier_min_micros, multiplier_max_micros)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (account_id, provider_id, model_code, effective_from_ms) DO UPDATE
             SET input_micros = excluded.input_micros, cached_input_micros = excluded.cached_input_micros,
                 cache_write_micros = excluded.cache_write_micros, output_micros = excluded.output_micros,
                 multiplier_micros = excluded.multiplier_micros,
                 multiplier_min_micros = excluded.multiplier_min_micros,
                 multiplier_max_micros = excluded.multiplier_max_micros",
            values,
        )
        .await?;
        self.raise(Topic::Directory).await
    }

    /// Sets the price of one of the operator's models.
    pub(crate) async fn put_system_price(
        &mut self,
        price: &SystemPrice,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM system_price WHERE provider_name = $1 AND model_code = $2";
        self.execute(sql, params![&price.provider_name, &price.model_code]).await?;
        self.insert_system_prices(std::slice::from_ref(price), now_ms).await
    }

    /// Makes the operator's prices exactly these, but for providers that were edited.
    pub(crate) async fn put_system_prices(
        &mut self,
        prices: &[SystemPrice],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM system_price
                   WHERE provider_name NOT IN (SELECT name FROM system_provider WHERE edited = 1)";
        self.execute(sql, Vec::new()).await?;
        self.insert_system_prices(prices, now_ms).await
    }

    async fn insert_system_prices(&mut self, prices: &[SystemPrice], now_ms: i64) -> Result<(), StoreError> {
        let rows = prices
            .iter()
            .map(|price| {
                let mut values = params![&price.provider_name, &price.model_code];
                values.extend(card_values(&price.card));
                values.push(Value::from(now_ms));
                values
            })
            .collect();
        let columns = [
            "provider_name",
            "model_code",
            "input_micros",
            "cached_input_micros",
            "cache_write_micros",
            "output_micros",
            "multiplier_micros",
            "updated_at_ms",
        ];
        self.insert_many("system_price", &columns, rows).await?;
        self.raise(Topic::Directory).await
    }
}
