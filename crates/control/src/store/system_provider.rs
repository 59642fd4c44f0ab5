//! Rows of the operator's providers: their addresses, keys and models.

use std::collections::HashMap;

use super::{Row, Store, StoreError, Tx, params};
use crate::model::{
    ProviderApi, SmartModel, SystemEndpoint, SystemKey, SystemModel, SystemProvider, SystemRoute,
};

const MODELS: &str = "SELECT code, name, context_window, max_output_tokens, route_order FROM system_model
 WHERE provider_name = $1 ORDER BY position, code LIMIT 10000";

fn endpoint(row: &Row) -> Result<SystemEndpoint, StoreError> {
    Ok(SystemEndpoint { base_url: row.text("base_url")?, weight: row.int("weight")? })
}

fn key(row: &Row) -> Result<SystemKey, StoreError> {
    Ok(SystemKey {
        name: row.text("name")?,
        sealed: row.text("key_sealed")?,
        base_url: row.opt_text("base_url")?,
        weight: row.int("weight")?,
        enabled: row.flag("enabled")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

fn model(row: &Row) -> Result<SystemModel, StoreError> {
    Ok(SystemModel {
        code: row.text("code")?,
        name: row.text("name")?,
        context_window: row.opt_int("context_window")?,
        max_output_tokens: row.opt_int("max_output_tokens")?,
        smart: row.opt_parse("route_order")?.map(|order| SmartModel { order, routes: Vec::new() }),
    })
}

/// A route, and the model that it is of.
fn route(row: &Row) -> Result<(String, SystemRoute), StoreError> {
    let route = SystemRoute {
        provider_name: row.text("to_provider_name")?,
        model_code: row.text("to_model_code")?,
        context_tokens_max: row.opt_int("context_tokens_max")?,
    };
    Ok((row.text("model_code")?, route))
}

/// What belongs to each provider, in the order of the rows.
fn by_provider<T>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<HashMap<String, Vec<T>>, StoreError> {
    let mut found: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        found.entry(row.text("provider_name")?).or_default().push(read(row)?);
    }
    Ok(found)
}

impl Store {
    /// All of the operator's providers by name, each with all that it has.
    pub(crate) async fn list_system_providers(&self) -> Result<Vec<SystemProvider>, StoreError> {
        let all = async |sql: &'static str| self.db().fetch_all(sql, Vec::new()).await;
        let providers = all("SELECT name, api, edited FROM system_provider ORDER BY name LIMIT 1000").await?;
        let endpoints = "SELECT provider_name, base_url, weight FROM system_endpoint
                         ORDER BY provider_name, position, base_url LIMIT 10000";
        let mut endpoints = by_provider(&all(endpoints).await?, endpoint)?;
        let keys =
            "SELECT provider_name, name, key_sealed, base_url, weight, enabled, created_at_ms FROM system_key
                    ORDER BY provider_name, created_at_ms, name LIMIT 10000";
        let mut keys = by_provider(&all(keys).await?, key)?;
        let models = "SELECT provider_name, code, name, context_window, max_output_tokens, route_order FROM system_model
                      ORDER BY provider_name, position, code LIMIT 100000";
        let mut models = by_provider(&all(models).await?, model)?;
        let routes = "SELECT provider_name, model_code, to_provider_name, to_model_code, context_tokens_max
                      FROM system_route ORDER BY provider_name, model_code, position LIMIT 100000";
        for (provider_name, routes) in by_provider(&all(routes).await?, route)? {
            let models = models.entry(provider_name).or_default();
            for (code, route) in routes {
                let model = models.iter_mut().find(|model| model.code == code);
                if let Some(smart) = model.and_then(|model| model.smart.as_mut()) {
                    smart.routes.push(route);
                }
            }
        }
        let whole = providers.iter().map(|row| {
            let name = row.text("name")?;
            Ok(SystemProvider {
                api: row.parse("api")?,
                edited: row.flag("edited")?,
                endpoints: endpoints.remove(&name).unwrap_or_default(),
                keys: keys.remove(&name).unwrap_or_default(),
                models: models.remove(&name).unwrap_or_default(),
                name,
            })
        });
        whole.collect()
    }
}

impl Tx {
    /// The dialect of a system provider.
    pub(crate) async fn find_system_api(&mut self, name: &str) -> Result<Option<ProviderApi>, StoreError> {
        let row =
            self.fetch_optional("SELECT api FROM system_provider WHERE name = $1", params![name]).await?;
        row.map(|row| row.parse("api")).transpose()
    }

    /// The models of a system provider in the operator's order.
    pub(crate) async fn list_system_models(&mut self, name: &str) -> Result<Vec<SystemModel>, StoreError> {
        self.fetch_all(MODELS, params![name]).await?.iter().map(model).collect()
    }

    /// Takes the dialect of a system provider to the groups' copies of it. Groups in which that changes something get
    /// their next revision, so that their agents are told.
    pub(crate) async fn spread_system_api(&mut self, name: &str, api: ProviderApi) -> Result<(), StoreError> {
        self.execute(
            "UPDATE model_group SET revision = revision + 1
             WHERE id IN (SELECT group_id FROM model_provider WHERE system_provider_name = $1 AND api <> $2)",
            params![name, api.as_str()],
        )
        .await?;
        self.execute(
            "UPDATE model_provider SET api = $2 WHERE system_provider_name = $1 AND api <> $2",
            params![name, api.as_str()],
        )
        .await?;
        Ok(())
    }

    /// Makes a system provider exactly this, unless somebody edited it: then it stays, and this is false.
    pub(crate) async fn put_system_provider(
        &mut self,
        provider: &SystemProvider,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        // Holds the provider's row, so that two processes that start at once take turns here.
        let sql = "INSERT INTO system_provider (name, api, edited, updated_at_ms) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (name) DO UPDATE SET api = $2, edited = $3, updated_at_ms = $4
                   WHERE system_provider.edited = 0";
        let binds = params![&provider.name, provider.api.as_str(), i64::from(provider.edited), now_ms];
        if self.execute(sql, binds).await? == 0 {
            return Ok(false);
        }
        for sql in [
            "DELETE FROM system_key WHERE provider_name = $1",
            "DELETE FROM system_endpoint WHERE provider_name = $1",
            "DELETE FROM system_route WHERE provider_name = $1",
            "DELETE FROM system_model WHERE provider_name = $1",
        ] {
            self.execute(sql, params![&provider.name]).await?;
        }
        for (endpoint, position) in provider.endpoints.iter().zip(0i64..) {
            self.put_system_endpoint(&provider.name, endpoint, position).await?;
        }
        for key in &provider.keys {
            self.insert_system_key(&provider.name, key).await?;
        }
        let rows = provider.models.iter().zip(0i64..).map(|(model, position)| {
            let limits = params![model.context_window, model.max_output_tokens, position];
            let mut row = params![&provider.name, &model.code, &model.name];
            row.extend(limits);
            row
        });
        let columns = ["provider_name", "code", "name", "context_window", "max_output_tokens", "position"];
        self.insert_many("system_model", &columns, rows.collect()).await?;
        Ok(true)
    }

    /// Holds a system provider until the end of the transaction and marks it as edited; false if there is none.
    pub(crate) async fn edit_system_provider(&mut self, name: &str, now_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE system_provider SET edited = 1, updated_at_ms = $2 WHERE name = $1";
        Ok(self.execute(sql, params![name, now_ms]).await? > 0)
    }

    pub(crate) async fn set_system_api(&mut self, name: &str, api: ProviderApi) -> Result<(), StoreError> {
        let sql = "UPDATE system_provider SET api = $2 WHERE name = $1";
        self.execute(sql, params![name, api.as_str()]).await.map(|_| ())
    }

    /// Adds an address, or gives one its weight and place.
    pub(crate) async fn put_system_endpoint(
        &mut self,
        provider_name: &str,
        endpoint: &SystemEndpoint,
        position: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO system_endpoint (provider_name, base_url, weight, position) VALUES ($1, $2, $3, $4)
             ON CONFLICT (provider_name, base_url) DO UPDATE SET weight = $3, position = $4",
            params![provider_name, &endpoint.base_url, endpoint.weight, position],
        )
        .await
        .map(|_| ())
    }

    /// Makes these the addresses of a system provider; [`StoreError::ForeignKey`] if a key is for one that goes.
    pub(crate) async fn set_system_endpoints(
        &mut self,
        provider_name: &str,
        endpoints: &[SystemEndpoint],
    ) -> Result<(), StoreError> {
        let sql = "SELECT base_url, weight FROM system_endpoint WHERE provider_name = $1
                   ORDER BY position, base_url LIMIT 1000";
        for before in self.fetch_all(sql, params![provider_name]).await? {
            let before = before.text("base_url")?;
            if !endpoints.iter().any(|endpoint| endpoint.base_url == before) {
                let sql = "DELETE FROM system_endpoint WHERE provider_name = $1 AND base_url = $2";
                self.execute(sql, params![provider_name, &before]).await?;
            }
        }
        for (endpoint, position) in endpoints.iter().zip(0i64..) {
            self.put_system_endpoint(provider_name, endpoint, position).await?;
        }
        Ok(())
    }

    /// How many keys a system provider has, and how many of them are in use.
    pub(crate) async fn count_system_keys(&mut self, provider_name: &str) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT COUNT(*) AS total, CAST(COALESCE(SUM(enabled), 0) AS BIGINT) AS enabled
                   FROM system_key WHERE provider_name = $1";
        match self.fetch_optional(sql, params![provider_name]).await? {
            Some(row) => Ok((row.int("total")?, row.int("enabled")?)),
            None => Ok((0, 0)),
        }
    }

    /// [`StoreError::Unique`] if the provider has a key of this name, [`StoreError::ForeignKey`] if it does not have the
    /// key's address.
    pub(crate) async fn insert_system_key(
        &mut self,
        provider_name: &str,
        key: &SystemKey,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO system_key (provider_name, name, key_sealed, base_url, weight, enabled, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            params![
                provider_name,
                &key.name,
                &key.sealed,
                key.base_url.clone(),
                key.weight,
                i64::from(key.enabled),
                key.created_at_ms
            ],
        )
        .await
        .map(|_| ())
    }

    /// Changes what is given; false if there is no such key.
    pub(crate) async fn update_system_key(
        &mut self,
        provider_name: &str,
        name: &str,
        weight: Option<i64>,
        enabled: Option<bool>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE system_key SET weight = COALESCE(CAST($3 AS BIGINT), weight),
                          enabled = COALESCE(CAST($4 AS BIGINT), enabled)
                   WHERE provider_name = $1 AND name = $2";
        let binds = params![provider_name, name, weight, enabled.map(i64::from)];
        Ok(self.execute(sql, binds).await? > 0)
    }

    /// False if there is no such key.
    pub(crate) async fn delete_system_key(
        &mut self,
        provider_name: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM system_key WHERE provider_name = $1 AND name = $2";
        Ok(self.execute(sql, params![provider_name, name]).await? > 0)
    }

    /// Offers a model at the end of the list, or changes one in its place.
    pub(crate) async fn put_system_model(
        &mut self,
        provider_name: &str,
        model: &SystemModel,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO system_model (provider_name, code, name, context_window, max_output_tokens, route_order, position)
             VALUES ($1, $2, $3, $4, $5, $6,
                     (SELECT COALESCE(MAX(position), -1) + 1 FROM system_model WHERE provider_name = $1))
             ON CONFLICT (provider_name, code) DO UPDATE
             SET name = excluded.name, context_window = excluded.context_window,
                 max_output_tokens = excluded.max_output_tokens, route_order = excluded.route_order",
            params![
                provider_name,
                &model.code,
                &model.name,
                model.context_window,
                model.max_output_tokens,
                model.smart.as_ref().map(|smart| smart.order.as_str())
            ],
        )
        .await?;
        self.delete_routes(provider_name, &model.code).await?;
        let routes = model.smart.iter().flat_map(|smart| &smart.routes).zip(0i64..);
        let rows = routes.map(|(route, position)| {
            let mut row = params![provider_name, &model.code, position];
            row.extend(params![&route.provider_name, &route.model_code, route.context_tokens_max]);
            row
        });
        let columns = [
            "provider_name",
            "model_code",
            "position",
            "to_provider_name",
            "to_model_code",
            "context_tokens_max",
        ];
        self.insert_many("system_route", &columns, rows.collect()).await
    }

    async fn delete_routes(&mut self, provider_name: &str, code: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM system_route WHERE provider_name = $1 AND model_code = $2";
        self.execute(sql, params![provider_name, code]).await.map(|_| ())
    }

    /// False if there is no such model.
    pub(crate) async fn delete_system_model(
        &mut self,
        provider_name: &str,
        code: &str,
    ) -> Result<bool, StoreError> {
        self.delete_routes(provider_name, code).await?;
        let sql = "DELETE FROM system_model WHERE provider_name = $1 AND code = $2";
        Ok(self.execute(sql, params![provider_name, code]).await? > 0)
    }

    /// True if a group has a provider that stands for this one.
    pub(crate) async fn uses_system_provider(&mut self, name: &str) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM model_provider WHERE system_provider_name = $1 LIMIT 1";
        Ok(self.fetch_optional(sql, params![name]).await?.is_some())
    }

    /// Deletes a system provider with all that it has; its prices stay.
    pub(crate) async fn delete_system_provider(&mut self, name: &str) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM system_key WHERE provider_name = $1",
            "DELETE FROM system_endpoint WHERE provider_name = $1",
            "DELETE FROM system_route WHERE provider_name = $1",
            "DELETE FROM system_model WHERE provider_name = $1",
            "DELETE FROM system_provider WHERE name = $1",
        ] {
            self.execute(sql, params![name]).await?;
        }
        Ok(())
    }
}
