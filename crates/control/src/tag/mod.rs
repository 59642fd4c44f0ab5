//! Tags of runtimes: keys and values that an administrator finds them by. They decide nothing else.

use creel_wire::id::AccountId;

use crate::access::{AccessError, Actor};
use crate::page::{Cursor, Page};
use crate::runtime::{Runtime, RuntimeError, check_all_found};
use crate::store::{Store, StoreError};

/// Tags that one runtime may have; the provider's documented limit.
pub const TAGS_MAX: usize = 20;
/// Characters of a key or a value at the most.
const CHARS_MAX: usize = 128;

/// A tag of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaggedRuntime {
    pub runtime_id: String,
    pub key: String,
    pub value: String,
}

/// Which tags to take off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagKeys {
    All,
    These(Vec<String>),
}

/// Which tags to list; an empty list filters nothing.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    /// `ecd-…` or `jvs-…`.
    pub ids: Vec<String>,
    /// Of runtimes that have all of these; without a value, with any.
    pub tags: Vec<(String, Option<String>)>,
}

/// Why a tag operation failed.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    #[error("no runtime {0} in this account")]
    NotFound(String),
    #[error("{0}")]
    Bad(#[from] BadTags),
    #[error("runtime {id} would have more than {TAGS_MAX} tags")]
    TooMany { id: String },
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing tags")]
    Store(#[from] StoreError),
}

/// What is wrong with tags that were given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTags {
    #[error("a tag's key must have 1 to {CHARS_MAX} characters, its value at most {CHARS_MAX}")]
    Length,
    #[error("the tag key {0:?} is reserved: it must not begin with aliyun or acs:")]
    Reserved(String),
    #[error("the tag key {0:?} is given twice")]
    Twice(String),
}

/// Checks tags as a caller gives them.
pub fn check(tags: &[(String, String)]) -> Result<(), BadTags> {
    for (index, (key, value)) in tags.iter().enumerate() {
        if !(1..=CHARS_MAX).contains(&key.chars().count()) || value.chars().count() > CHARS_MAX {
            return Err(BadTags::Length);
        }
        let lower = key.to_lowercase();
        if lower.starts_with("aliyun") || lower.starts_with("acs:") {
            return Err(BadTags::Reserved(key.clone()));
        }
        if tags.iter().take(index).any(|(earlier, _)| earlier == key) {
            return Err(BadTags::Twice(key.clone()));
        }
    }
    Ok(())
}

/// Tags of runtimes.
#[derive(Debug, Clone)]
pub struct Tags {
    store: Store,
}

impl Tags {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Puts tags on runtimes, over those with the same keys: on all of them, or on none.
    pub async fn put(
        &self,
        actor: Actor,
        ids: Vec<String>,
        tags: Vec<(String, String)>,
    ) -> Result<(), TagError> {
        check(&tags)?;
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = audited(&actor, tx, &ids, now_ms).await?;
                    let keys: Vec<String> = tags.iter().map(|(key, _)| key.clone()).collect();
                    let named: Vec<&Runtime> = runtimes.iter().collect();
                    tx.delete_runtime_tags(&named, &TagKeys::These(keys)).await?;
                    tx.insert_runtime_tags(&named, &tags).await?;
                    match tx.runtime_with_more_tags_than(&named, TAGS_MAX).await? {
                        Some(id) => Err(TagError::TooMany { id }),
                        None => Ok(()),
                    }
                })
            })
            .await
    }

    /// Takes tags off runtimes: off all of them, or off none. A tag that is not there is no error.
    pub async fn remove(&self, actor: Actor, ids: Vec<String>, keys: TagKeys) -> Result<(), TagError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let runtimes = audited(&actor, tx, &ids, now_ms).await?;
                    Ok(tx.delete_runtime_tags(&runtimes.iter().collect::<Vec<_>>(), &keys).await?)
                })
            })
            .await
    }

    /// Tags in the order of runtime and key. Ids that name nothing are left out, as in every list.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &TagFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<TaggedRuntime>, TagError> {
        Ok(self.store.list_runtime_tags(account_id, filter, after.as_ref(), limit).await?)
    }
}

async fn audited(
    actor: &Actor,
    tx: &mut crate::store::Tx,
    ids: &[String],
    now_ms: i64,
) -> Result<Vec<Runtime>, TagError> {
    let runtimes = tx.lock_runtimes(&actor.account_id, ids).await?;
    check_all_found(ids, &runtimes).map_err(|error| match error {
        RuntimeError::NotFound(id) => TagError::NotFound(id),
        _ => TagError::NotFound(String::new()),
    })?;
    let names: Vec<&str> = runtimes.iter().map(|runtime| runtime.id.as_str()).collect();
    actor.audit(tx, &names, now_ms).await?;
    Ok(runtimes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(check(&[tag("team", ""), tag("钉", "x")]), Ok(()));
        let long = "x".repeat(129);
        for bad in [tag("", "v"), tag(&long, "v"), tag("k", &long)] {
            assert_eq!(check(&[bad]), Err(BadTags::Length));
        }
        for bad in ["aliyun", "Aliyun-x", "acs:rm"] {
            assert_eq!(check(&[tag(bad, "")]), Err(BadTags::Reserved(bad.to_owned())));
        }
        assert_eq!(check(&[tag("a", "1"), tag("a", "2")]), Err(BadTags::Twice("a".to_owned())));
    }
}
