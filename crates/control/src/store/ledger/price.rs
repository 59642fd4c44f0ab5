//! Prices of models.

use creel_wire::id::{AccountId, ProviderId};
use creel_wire::price::RateCard;

use super::super::{Row, Store, StoreError, Topic, Tx, params};
use crate::ledger::{MultiplierRange, Price, PriceOf};

/// Prices that one list holds at the most.
const PRICES_MAX: i64 = 100_000;

const COLUMNS: &str = "account_id, provider, model_code, effective_from_ms, input_micros, cached_input_micros, \
    cache_write_micros, output_micros, multiplier_micros, multiplier_min_micros, multiplier_max_micros";

/// What stands in place of an account where the model is the operator's.
const OPERATOR: &str = "";

fn owner(of: &PriceOf) -> (&str, &str) {
    match of {
        PriceOf::System(name) => (OPERATOR, name),
        PriceOf::Own(account_id, provider_id) => (account_id.as_str(), provider_id.as_str()),
    }
}

fn card(row: &Row) -> Result<RateCard, StoreError> {
    Ok(RateCard {
        input: row.int("input_micros")?,
        cached_input: row.int("cached_input_micros")?,
        cache_write: row.int("cache_write_micros")?,
        output: row.int("output_micros")?,
        multiplier_micros: row.int("multiplier_micros")?,
    })
}

fn price(row: &Row) -> Result<Price, StoreError> {
    let of = match row.text("account_id")?.as_str() {
        OPERATOR => PriceOf::System(row.text("provider")?),
        _ => PriceOf::Own(row.parse("account_id")?, row.parse("provider")?),
    };
    let range = row.opt_int("multiplier_min_micros")?.map(|min_micros| {
        Ok::<_, StoreError>(MultiplierRange { min_micros, max_micros: row.opt_int("multiplier_max_micros")? })
    });
    Ok(Price {
        of,
        model_code: row.text("model_code")?,
        effective_from_ms: row.int("effective_from_ms")?,
        card: card(row)?,
        range: range.transpose()?,
    })
}

impl Store {
    /// Prices of the operator's and all accounts' models that are in effect at `now_ms`, one a model.
    pub(crate) async fn list_prices_in_effect(&self, now_ms: i64) -> Result<Vec<Price>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM price AS p WHERE effective_from_ms =
                 (SELECT MAX(q.effective_from_ms) FROM price AS q
                  WHERE q.account_id = p.account_id AND q.provider = p.provider
                    AND q.model_code = p.model_code AND q.effective_from_ms <= $1)
             ORDER BY account_id, provider, model_code LIMIT $2"
        );
        self.db().fetch_all(sql, params![now_ms, PRICES_MAX]).await?.iter().map(price).collect()
    }

    /// All prices of an account's own models, or of the operator's (`None`), also past and coming ones; oldest first of
    /// each model.
    pub(crate) async fn list_prices(&self, account_id: Option<&AccountId>) -> Result<Vec<Price>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM price WHERE account_id = $1
             ORDER BY provider, model_code, effective_from_ms LIMIT $2"
        );
        let owner = account_id.map_or(OPERATOR, AccountId::as_str);
        self.db().fetch_all(sql, params![owner, PRICES_MAX]).await?.iter().map(price).collect()
    }

    /// When the next price comes into effect.
    pub(crate) async fn next_price_ms(&self, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MIN(effective_from_ms) AS next_ms FROM price WHERE effective_from_ms > $1";
        let row = self.db().fetch_optional(sql, params![now_ms]).await?;
        row.map_or(Ok(None), |row| row.opt_int("next_ms"))
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
        let (account_id, provider) = owner(&price.of);
        let card = &price.card;
        let mut values = params![account_id, provider, &price.model_code, price.effective_from_ms];
        values.extend(params![
            card.input,
            card.cached_input,
            card.cache_write,
            card.output,
            card.multiplier_micros
        ]);
        values.push(price.range.map(|range| range.min_micros).into());
        values.push(price.range.and_then(|range| range.max_micros).into());
        let sql = format!(
            "INSERT INTO price ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (account_id, provider, model_code, effective_from_ms) DO UPDATE
             SET input_micros = excluded.input_micros, cached_input_micros = excluded.cached_input_micros,
                 cache_write_micros = excluded.cache_write_micros, output_micros = excluded.output_micros,
                 multiplier_micros = excluded.multiplier_micros,
                 multiplier_min_micros = excluded.multiplier_min_micros,
                 multiplier_max_micros = excluded.multiplier_max_micros"
        );
        self.execute(sql, values).await?;
        self.raise(Topic::Directory).await
    }

    /// Forgets the versions of a price of the operator's that begin after `after_ms`.
    pub(crate) async fn delete_system_prices(
        &mut self,
        provider_name: &str,
        model_code: &str,
        after_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM price
                   WHERE account_id = '' AND provider = $1 AND model_code = $2 AND effective_from_ms > $3";
        self.execute(sql, params![provider_name, model_code, after_ms]).await?;
        self.raise(Topic::Directory).await
    }

    /// Holds a system provider until the end of the transaction and says whether it was edited; false if there is none.
    pub(crate) async fn hold_system_provider(&mut self, name: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE system_provider SET edited = edited WHERE name = $1 RETURNING edited";
        self.fetch_optional(sql, params![name]).await?.map_or(Ok(false), |row| row.flag("edited"))
    }
}
