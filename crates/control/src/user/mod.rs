//! End users: the people that runtimes are given to. An account names them itself; who is entitled to what is in
//! [`crate::entitlement`].

use std::collections::HashSet;

use creel_wire::id::{AccountId, EndUserId};
use serde::{Deserialize, Serialize};

use crate::access::{AccessError, Actor};
use crate::page::{Cursor, Page};
use crate::store::{Store, StoreError, Tx};

/// Users an account may have.
const USERS_MAX: i64 = 100_000;
/// Characters of a text about a user at the most.
const TEXT_CHARS_MAX: usize = 128;
/// Characters of an e-mail address at the most.
const EMAIL_CHARS_MAX: usize = 254;

/// Who activated the user; echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerType {
    CreateFromManager,
    #[default]
    Normal,
}

impl OwnerType {
    /// The word that the API and the store use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateFromManager => "CreateFromManager",
            Self::Normal => "Normal",
        }
    }

    /// The type of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::CreateFromManager, Self::Normal].into_iter().find(|owner_type| owner_type.as_str() == word)
    }
}

/// An end user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndUser {
    pub id: EndUserId,
    pub account_id: AccountId,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub nick_name: Option<String>,
    pub remark: Option<String>,
    pub owner_type: OwnerType,
    pub is_local_admin: bool,
    /// From then on the user is locked: entitled as before, and sees nothing.
    pub locked_from_ms: Option<i64>,
    pub created_at_ms: i64,
}

impl EndUser {
    /// Whether the user is locked at this moment.
    pub fn is_locked(&self, now_ms: i64) -> bool {
        self.locked_from_ms.is_some_and(|from_ms| from_ms <= now_ms)
    }
}

/// A user and how many runtimes it is entitled to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    pub user: EndUser,
    pub runtime_count: i64,
}

/// A user to make. Its id is not checked yet, for one that is wrong fails alone.
#[derive(Debug, Clone, Default)]
pub struct NewUser {
    pub id: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub nick_name: Option<String>,
    pub remark: Option<String>,
    pub owner_type: OwnerType,
}

/// Users to make, and what holds for all of them.
#[derive(Debug, Clone, Default)]
pub struct CreateUsers {
    pub users: Vec<NewUser>,
    pub is_local_admin: bool,
    pub locked_from_ms: Option<i64>,
}

/// Why one user of a request was not made or removed; the others are not touched by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserFailure {
    /// The account has a user of this name, or the request names it twice.
    Exists,
    /// Not a name that a user can have; in a removal, not one that a user of this account has.
    Name,
    Email,
    Phone,
    /// A nick name or remark is too long, or holds control characters.
    Text,
}

/// Which users to list; what is empty filters nothing.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    pub ids: Vec<String>,
    pub excluded_ids: Vec<String>,
    /// Part of a name or e-mail address; with `*` the whole of it, each `*` standing for any text.
    pub pattern: Option<String>,
    pub is_locked: Option<bool>,
    /// Whether the user is entitled to any runtime.
    pub is_assigned: Option<bool>,
}

/// Why a user operation failed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("the account may have {USERS_MAX} end users, and these would be more")]
    TooMany,
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing end users")]
    Store(#[from] StoreError),
}

/// End users.
#[derive(Debug, Clone)]
pub struct Users {
    store: Store,
}

impl Users {
    /// Over a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Makes users, each on its own: one outcome for each, in the order given.
    pub async fn create(
        &self,
        actor: Actor,
        request: CreateUsers,
    ) -> Result<Vec<Option<UserFailure>>, UserError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(outcomes) = actor.replayed(tx).await? {
                        return Ok(outcomes);
                    }
                    let names: Vec<&str> = request.users.iter().map(|user| user.id.as_str()).collect();
                    actor.audit(tx, &names, now_ms).await?;
                    let more = i64::try_from(names.len()).unwrap_or(i64::MAX);
                    if tx.count_users(&actor.account_id).await?.saturating_add(more) > USERS_MAX {
                        return Err(UserError::TooMany);
                    }
                    let mut outcomes = Vec::with_capacity(names.len());
                    for new in &request.users {
                        outcomes.push(match user(&actor, &request, new, now_ms) {
                            Err(failure) => Some(failure),
                            Ok(user) => (!tx.insert_user(&user).await?).then_some(UserFailure::Exists),
                        });
                    }
                    actor.remember(tx, &outcomes, now_ms).await?;
                    Ok(outcomes)
                })
            })
            .await
    }

    /// Users of an account by name.
    pub async fn list(
        &self,
        account_id: &AccountId,
        filter: &UserFilter,
        after: Option<Cursor>,
        limit: i64,
    ) -> Result<Page<UserView>, UserError> {
        let now_ms = self.store.clock().now_ms();
        Ok(self.store.list_users(account_id, filter, after, limit, now_ms).await?)
    }

    /// Removes users, each on its own, and with each what it is entitled to and the principals that act for it, whose
    /// keys are refused within a second; one outcome for each, in the order given. A later user of the same name is
    /// another one and inherits nothing.
    pub async fn remove(
        &self,
        actor: Actor,
        names: Vec<String>,
    ) -> Result<Vec<Option<UserFailure>>, UserError> {
        let now_ms = self.store.clock().now_ms();
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let resources: Vec<&str> = names.iter().map(String::as_str).collect();
                    actor.audit(tx, &resources, now_ms).await?;
                    let mut outcomes = Vec::with_capacity(names.len());
                    for name in &names {
                        let removed = match EndUserId::parse(name) {
                            Ok(id) => tx.delete_user(&actor.account_id, &id).await?,
                            Err(_) => false,
                        };
                        outcomes.push((!removed).then_some(UserFailure::Name));
                    }
                    Ok(outcomes)
                })
            })
            .await
    }
}

/// The users that these texts name, each once; the first text that names none of the account's users is the error.
///
/// They stay until the transaction ends: what is written about them cannot be orphaned.
pub(crate) async fn lock_named(
    tx: &mut Tx,
    account_id: &AccountId,
    names: &[String],
) -> Result<Result<Vec<EndUserId>, String>, StoreError> {
    let known: HashSet<EndUserId> = tx.lock_users(account_id, names).await?.into_iter().collect();
    let mut ids: Vec<EndUserId> = Vec::with_capacity(names.len());
    for name in names {
        match EndUserId::parse(name) {
            Ok(id) if known.contains(&id) => ids.push(id),
            _ => return Ok(Err(name.clone())),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(Ok(ids))
}

fn user(actor: &Actor, request: &CreateUsers, new: &NewUser, now_ms: i64) -> Result<EndUser, UserFailure> {
    let has_control = |text: &str| text.chars().any(char::is_control);
    if new.email.as_deref().is_some_and(|email| !is_email(email)) {
        return Err(UserFailure::Email);
    }
    if new.phone.as_deref().is_some_and(|phone| !is_phone(phone)) {
        return Err(UserFailure::Phone);
    }
    let texts = [&new.nick_name, &new.remark];
    if texts.into_iter().flatten().any(|text| text.chars().count() > TEXT_CHARS_MAX || has_control(text)) {
        return Err(UserFailure::Text);
    }
    Ok(EndUser {
        id: EndUserId::parse(&new.id).map_err(|_| UserFailure::Name)?,
        account_id: actor.account_id.clone(),
        email: new.email.clone(),
        phone: new.phone.clone(),
        nick_name: new.nick_name.clone(),
        remark: new.remark.clone(),
        owner_type: new.owner_type,
        is_local_admin: request.is_local_admin,
        locked_from_ms: request.locked_from_ms,
        created_at_ms: now_ms,
    })
}

/// Whether a text can be an e-mail address; nothing is sent to it.
fn is_email(text: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control();
    text.chars().count() <= EMAIL_CHARS_MAX
        && text.chars().all(allowed)
        && text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && host.contains('.') && !host.contains('@'))
}

/// Whether a text can be a phone number; nobody is called.
fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (3..=20).contains(&digits)
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b' ' | b'(' | b')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_told_from_other_text() {
        for good in ["a@b.c", "first.last+tag@mail.example.com", "用户@example.com"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "a@b", "@b.c", "a@", "a b@c.d", "a@b@c.d", &format!("{}@b.c", "a".repeat(254))] {
            assert!(!is_email(bad), "{bad}");
        }
        for good in ["13811111111", "+49 (30) 1234-567", "110"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in ["", "12", "1234x", "+-()", &"1".repeat(21)] {
            assert!(!is_phone(bad), "{bad}");
        }
    }
}
