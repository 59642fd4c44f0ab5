//! Rows of runtimes' chat channels.

use std::collections::HashMap;

use creel_wire::id::{AccountId, RuntimeId};
use sea_query::{Expr, ExprTrait, Order, Query};

use super::{Row, Store, StoreError, Tx, params};
use crate::channel::{Channel, ChannelCode};

fn channel(row: &Row) -> Result<Channel, StoreError> {
    Ok(Channel {
        runtime_id: row.parse("runtime_id")?,
        account_id: row.parse("account_id")?,
        code: row.parse("code")?,
        name: row.text("name")?,
        mode: row.parse("config_mode")?,
        config_sealed: row.text("config_sealed")?,
        bot_id: row.opt_text("bot_id")?,
        updated_at_ms: row.int("updated_at_ms")?,
    })
}

impl Store {
    /// The channels of a runtime; there are five.
    pub(crate) async fn list_channels(&self, runtime_id: &RuntimeId) -> Result<Vec<Channel>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT runtime_id, account_id, code, name, config_mode, config_sealed, bot_id, updated_at_ms
                 FROM runtime_channel WHERE runtime_id = $1 ORDER BY code LIMIT 100",
                params![runtime_id.as_str()],
            )
            .await?;
        rows.iter().map(channel).collect()
    }

    /// The codes of the channels that runtimes of a page have, by runtime.
    pub(crate) async fn list_channel_codes(
        &self,
        runtime_ids: &[String],
    ) -> Result<HashMap<String, Vec<String>>, StoreError> {
        let mut select = Query::select();
        select
            .columns(["runtime_id", "code"])
            .from("runtime_channel")
            .and_where(Expr::col("runtime_id").is_in(runtime_ids.iter().map(String::as_str)))
            .order_by("runtime_id", Order::Asc)
            .order_by("code", Order::Asc);
        let mut codes: HashMap<String, Vec<String>> = HashMap::new();
        for row in self.db().select(&select).await? {
            codes.entry(row.text("runtime_id")?).or_default().push(row.text("code")?);
        }
        Ok(codes)
    }

    /// Name and id of the runtime that a bot serves.
    pub(crate) async fn find_bot_holder(
        &self,
        account_id: &AccountId,
        code: ChannelCode,
        bot_id: &str,
    ) -> Result<Option<(String, String)>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT r.name, r.id FROM runtime_channel c JOIN runtime r ON r.id = c.runtime_id
                 WHERE c.account_id = $1 AND c.code = $2 AND c.bot_id = $3",
                params![account_id.as_str(), code.as_str(), bot_id],
            )
            .await?;
        row.map(|row| Ok((row.text("name")?, row.text("id")?))).transpose()
    }
}

impl Tx {
    /// Writes a channel, in place of one before it; `Unique` if its bot serves another runtime of the account.
    pub(crate) async fn put_channel(&mut self, channel: &Channel) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO runtime_channel (runtime_id, code, account_id, name, config_mode, config_sealed, bot_id,
                                          updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (runtime_id, code) DO UPDATE SET name = $4, config_mode = $5, config_sealed = $6,
                 bot_id = $7, updated_at_ms = $8",
            params![
                channel.runtime_id.as_str(),
                channel.code.as_str(),
                channel.account_id.as_str(),
                &channel.name,
                channel.mode.as_str(),
                &channel.config_sealed,
                channel.bot_id.clone(),
                channel.updated_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn delete_channel(
        &mut self,
        runtime_id: &RuntimeId,
        code: ChannelCode,
    ) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM runtime_channel WHERE runtime_id = $1 AND code = $2",
            params![runtime_id.as_str(), code.as_str()],
        )
        .await?;
        Ok(())
    }

    /// Sets the bots of a runtime free.
    pub(crate) async fn delete_channels(&mut self, runtime_id: &RuntimeId) -> Result<(), StoreError> {
        self.execute("DELETE FROM runtime_channel WHERE runtime_id = $1", params![runtime_id.as_str()])
            .await?;
        Ok(())
    }
}
