//! Office sites: the named networks that runtimes are placed in. One must exist before a runtime is made.

use creel_wire::id::{AccountId, OfficeSiteId};
use serde::{Deserialize, Serialize};

use crate::access::{AccessError, Actor};
use crate::id_gen::IdGen;
use crate::page::{Cursor, Page};
use crate::store::{Store, StoreError};

/// Sites an account may have.
const SITES_MAX: i64 = 500;

/// What the caller said of a site and reads back; nothing here changes what Creel does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfficeSiteAttributes {
    pub cidr_block: Option<String>,
    pub desktop_access_type: Option<String>,
    pub vpc_type: Option<String>,
    pub bandwidth: Option<i64>,
    pub enable_admin_access: bool,
    pub enable_internet_access: bool,
    pub need_verify_zero_device: bool,
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficeSite {
    pub id: OfficeSiteId,
    pub account_id: AccountId,
    pub region_id: String,
    pub name: String,
    pub attributes: OfficeSiteAttributes,
    pub created_at_ms: i64,
    /// Runtimes placed in it that are not deleted.
    pub runtime_count: i64,
}

/// Which sites to list.
#[derive(Debug, Clone, Default)]
pub struct OfficeSiteFilter {
    pub region_id: String,
    /// Empty means all.
    pub ids: Vec<String>,
}

/// Why an office site operation failed.
#[derive(Debug, thiserror::Error)]
pub enum OfficeSiteError {
    #[error("the account has {SITES_MAX} office sites, the most it may have")]
    TooMany,
    #[error("no office site {0} in this account and region")]
    NotFound(String),
    #[error("office site {id} has {runtimes} runtimes")]
    NotEmpty { id: String, runtimes: i64 },
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing office sites")]
    Store(#[from] StoreError),
}

/// Office sites.
#[derive(Debug, Clone)]
pub struct OfficeSites {
    store: Store,
    ids: IdGen,
}

impl OfficeSites {
    /// Over a store.
    pub fn new(store: Store, ids: IdGen) -> Self {
        Self { store, ids }
    }

    /// Makes a site; it can be used at once.
    pub async fn create(
        &self,
        actor: Actor,
        region_id: String,
        name: String,
        attributes: OfficeSiteAttributes,
    ) -> Result<OfficeSiteId, OfficeSiteError> {
        let site = OfficeSite {
            id: self.ids.office_site(&region_id),
            account_id: actor.account_id.clone(),
            region_id,
            name,
            attributes,
            created_at_ms: self.store.clock().now_ms(),
            runtime_count: 0,
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(id) = actor.replayed(tx).await? {
                        return Ok(id);
                    }
                    actor.audit(tx, &[site.id.as_str()], site.created_at_ms).await?;
                    if tx.count_office_sites(&site.account_id).await? >= SITES_MAX {
                        return Err(OfficeSiteError::TooMany);
                    }
                    tx.insert_office_site(&site).await?;
                    actor.remember(tx, &site.id, site.created_at_ms).await?;
                    Ok(site.id)
                })
            })
            .await
    }

    /// Deletes sites that no runtime is placed in: all of them, or none if one cannot go.
    pub async fn delete(
        &self,
        actor: Actor,
        region_id: String,
        ids: Vec<String>,
    ) -> Result<(), OfficeSiteError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let found = tx.lock_office_sites(&actor.account_id, &region_id, &ids).await?;
                    if let Some(id) = ids.iter().find(|id| !found.contains(id)) {
                        return Err(OfficeSiteError::NotFound(id.clone()));
                    }
                    let names: Vec<&str> = found.iter().map(String::as_str).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    for id in &found {
                        let runtimes = tx.count_runtimes_of_site(&actor.account_id, id).await?;
                        if runtimes > 0 {
                            return Err(OfficeSiteError::NotEmpty { id: id.clone(), runtimes });
                        }
                        tx.delete_office_site(id, now_ms).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Sites of an account, oldest first.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &OfficeSiteFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<OfficeSite>, OfficeSiteError> {
        Ok(self.store.list_office_sites(account_id, filter, after, limit).await?)
    }
}
