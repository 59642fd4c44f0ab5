//! Rows of guests, what they report, virtual keys, replicas and invocations.

use creel_wire::guest::{AgentStatus, InvocationRequest, Observation, Receipt};
use creel_wire::id::{AccountId, EndUserId, InvocationId, RuntimeId};

use super::entitlement::entitled;
use super::model::EFFECTIVE_GROUP;
use super::{Row, Store, StoreError, Tx, params};
use crate::entitlement::Entitled;
use crate::guest::{GuestRow, WishMark};
use crate::message::{Invocation, InvocationStatus, Waiting};
use crate::virtual_key::{Holder, VirtualKeyRow};

const STATUSES: [(AgentStatus, &str); 8] = [
    (AgentStatus::Undeployed, "Undeployed"),
    (AgentStatus::Deploying, "Deploying"),
    (AgentStatus::Deployed, "Deployed"),
    (AgentStatus::Starting, "Starting"),
    (AgentStatus::Running, "Running"),
    (AgentStatus::Stopping, "Stopping"),
    (AgentStatus::Stopped, "Stopped"),
    (AgentStatus::Unavailable, "Unavailable"),
];

/// The word of an agent status on the wire and in the store.
pub(crate) fn agent_status_word(status: AgentStatus) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("Unavailable", |(_, word)| word)
}

pub(super) fn agent_status_from_word(word: &str) -> Result<AgentStatus, StoreError> {
    STATUSES
        .iter()
        .find(|(_, known)| *known == word)
        .map(|(status, _)| *status)
        .ok_or_else(|| StoreError::Corrupt { what: "an unknown agent status".to_owned() })
}

fn invocation(row: &Row) -> Result<Invocation, StoreError> {
    let status = row.text("status")?;
    Ok(Invocation {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        runtime_id: row.parse("runtime_id")?,
        end_user: row.opt_parse("end_user_id")?,
        session_key: row.text("session_key")?,
        message: row.text("message")?,
        status: InvocationStatus::from_word(&status)
            .ok_or_else(|| StoreError::Corrupt { what: "an unknown invocation status".to_owned() })?,
        reply: row.opt_text("reply")?,
        error_message: row.opt_text("error_message")?,
        created_at_ms: row.int("created_at_ms")?,
        deadline_ms: row.int("deadline_ms")?,
        finished_at_ms: row.opt_int("finished_at_ms")?,
    })
}

fn waiting(row: &Row, now_ms: i64) -> Result<Waiting, StoreError> {
    let (request, timeout_ms) = match row.opt_text("content")? {
        Some(script) => (InvocationRequest::Command { script }, row.int("timeout_ms")?),
        None => {
            let message = row.text("message")?;
            let session = match (row.opt_text("end_user_id")?, row.text("session_key")?) {
                (None, session) => session,
                // Users' names have no hyphen, so nobody can name somebody else's conversation.
                (Some(user), session) => format!("user-{user}-{session}"),
            };
            (InvocationRequest::Chat { session, message }, row.int("deadline_ms")? - now_ms)
        }
    };
    Ok(Waiting { id: row.parse("id")?, request, timeout_ms: u64::try_from(timeout_ms).unwrap_or(0) })
}

/// Which messages of an account.
#[derive(Debug)]
pub(crate) struct InvocationFilter<'a> {
    pub(crate) account_id: &'a AccountId,
    /// Empty: all.
    pub(crate) ids: &'a [String],
    pub(crate) runtime_id: Option<&'a RuntimeId>,
    /// Only what this end user sent to runtimes that it is entitled to.
    pub(crate) entitled: Option<&'a Entitled>,
}

impl Store {
    pub(crate) async fn find_guest(&self, runtime_id: &RuntimeId) -> Result<Option<GuestRow>, StoreError> {
        let row = self
            .db()
            .fetch_optional(
                "SELECT g.runtime_id, g.public_key, g.epoch, g.replica_id, r.account_id, r.agent_provider,
                        r.deleted_at_ms
                 FROM guest g JOIN runtime r ON r.id = g.runtime_id WHERE g.runtime_id = $1",
                params![runtime_id.as_str()],
            )
            .await?;
        row.map(|row| {
            let provider = row.text("agent_provider")?;
            Ok(GuestRow {
                agent_provider: crate::runtime::provider_from_word(&provider)
                    .ok_or_else(|| StoreError::Corrupt { what: "agent_provider of a runtime".to_owned() })?,
                runtime_id: row.parse("runtime_id")?,
                account_id: row.parse("account_id")?,
                public_key: row.opt_text("public_key")?,
                epoch: row.int("epoch")?,
                replica_id: row.text("replica_id")?,
                runtime_deleted: row.opt_int("deleted_at_ms")?.is_some(),
            })
        })
        .transpose()
    }

    /// What decides the desired state of every guest whose link this replica holds.
    pub(crate) async fn wish_marks(&self, replica_id: &str) -> Result<Vec<WishMark>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                format!(
                    "SELECT r.id, r.generation, COALESCE(m.revision, 0) + COALESCE(a.skill_revision, 0) AS revision, g.epoch,
                            CAST(CASE WHEN r.deleted_at_ms IS NULL THEN 0 ELSE 1 END AS BIGINT) AS deleted,
                            CAST(CASE WHEN EXISTS (SELECT 1 FROM invocation i WHERE i.runtime_id = r.id
                                                   AND i.status = 'Pending') THEN 1 ELSE 0 END AS BIGINT) AS waiting
                     FROM guest g JOIN runtime r ON r.id = g.runtime_id
                     LEFT JOIN account a ON a.id = r.account_id
                     LEFT JOIN model_group m ON m.id = {EFFECTIVE_GROUP}
                     WHERE g.replica_id = $1 ORDER BY r.id LIMIT 100000"
                ),
                params![replica_id],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(WishMark {
                    runtime_id: row.parse("id")?,
                    generation: crate::runtime::wish_generation(row.int("generation")?, row.int("revision")?),
                    epoch: row.int("epoch")?,
                    deleted: row.flag("deleted")?,
                    invocations_waiting: row.flag("waiting")?,
                })
            })
            .collect()
    }

    /// Invocations for a guest to do, oldest first: those that wait, and with `resend` also those it was sent
    /// before its link broke.
    pub(crate) async fn invocations_to_send(
        &self,
        runtime_id: &RuntimeId,
        resend: bool,
        now_ms: i64,
        limit: i64,
    ) -> Result<Vec<Waiting>, StoreError> {
        let rows = self
            .db()
            .fetch_all(
                "SELECT i.id, i.end_user_id, i.session_key, i.message, i.deadline_ms, c.content, c.timeout_ms
                 FROM invocation i LEFT JOIN command c ON c.id = i.command_id
                 WHERE i.runtime_id = $1 AND i.status IN ('Pending', $2)
                   AND (i.first_start_step IS NULL OR NOT EXISTS (
                       SELECT 1 FROM invocation e WHERE e.runtime_id = i.runtime_id
                         AND e.first_start_step < i.first_start_step AND e.status IN ('Pending', 'Running')))
                 ORDER BY i.created_at_ms, i.id LIMIT $3",
                params![runtime_id.as_str(), if resend { "Running" } else { "Pending" }, limit],
            )
            .await?;
        rows.iter().map(|row| waiting(row, now_ms)).collect()
    }

    /// Invocations of an account by id, or of one runtime by age after a cursor, newest first.
    pub(crate) async fn list_invocations(
        &self,
        filter: &InvocationFilter<'_>,
        after: Option<&crate::page::Cursor>,
        limit: i64,
    ) -> Result<Vec<Invocation>, StoreError> {
        use sea_query::{Expr, ExprTrait, Order, Query};
        let mut select = Query::select();
        select
            .columns([
                "id",
                "account_id",
                "runtime_id",
                "end_user_id",
                "session_key",
                "message",
                "status",
                "reply",
                "error_message",
                "created_at_ms",
                "deadline_ms",
                "finished_at_ms",
            ])
            .from("invocation")
            .and_where(Expr::col("account_id").eq(filter.account_id.as_str()))
            .and_where(Expr::col("command_id").is_null())
            .order_by("created_at_ms", Order::Desc)
            .order_by("id", Order::Desc)
            .limit(limit.unsigned_abs());
        if !filter.ids.is_empty() {
            select.and_where(Expr::col("id").is_in(filter.ids.iter().map(String::as_str)));
        }
        if let Some(to) = filter.entitled {
            select.and_where(Expr::col("end_user_id").eq(to.end_user.as_str())).and_where(entitled(
                ("invocation", "runtime_id"),
                filter.account_id,
                to,
            ));
        }
        if let Some(runtime_id) = filter.runtime_id {
            select.and_where(Expr::col("runtime_id").eq(runtime_id.as_str()));
        }
        if let Some(cursor) = after {
            select.and_where(
                Expr::tuple([Expr::col("created_at_ms"), Expr::col("id")])
                    .lt(Expr::tuple([Expr::val(cursor.key), Expr::val(cursor.id.as_str())])),
            );
        }
        self.db().select(&select).await?.iter().map(invocation).collect()
    }
}

impl Tx {
    /// Gives a runtime a new one-use token, in place of any before it; the identity that it had ends.
    pub(crate) async fn set_enroll_token(
        &mut self,
        runtime_id: &RuntimeId,
        token_hash: &str,
        until_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO guest (runtime_id, enroll_token_hash, enroll_until_ms, epoch, replica_id)
             VALUES ($1, $2, $3, 0, '')
             ON CONFLICT (runtime_id) DO UPDATE SET enroll_token_hash = $2, enroll_until_ms = $3,
                 public_key = NULL, enrolled_at_ms = NULL",
            params![runtime_id.as_str(), token_hash, until_ms],
        )
        .await?;
        Ok(())
    }

    /// Uses up a token: the guest of its runtime now has this key. `None` if there is no such token in force.
    ///
    /// The same key may use it again while it is in force: its first answer may have been lost on the way.
    pub(crate) async fn use_enroll_token(
        &mut self,
        token_hash: &str,
        public_key: &str,
        now_ms: i64,
    ) -> Result<Option<(RuntimeId, AccountId)>, StoreError> {
        let row = self
            .fetch_optional(
                "UPDATE guest SET public_key = $2, enrolled_at_ms = $3, epoch = epoch + 1, replica_id = ''
                 WHERE enroll_token_hash = $1 AND enroll_until_ms > $3
                   AND (public_key IS NULL OR public_key = $2)
                   AND runtime_id IN (SELECT id FROM runtime WHERE deleted_at_ms IS NULL)
                 RETURNING runtime_id",
                params![token_hash, public_key, now_ms],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let runtime_id: RuntimeId = row.parse("runtime_id")?;
        let account = self
            .fetch_optional("SELECT account_id FROM runtime WHERE id = $1", params![runtime_id.as_str()])
            .await?;
        match account {
            Some(account) => Ok(Some((runtime_id, account.parse("account_id")?))),
            None => Ok(None),
        }
    }

    /// A new link of a guest to this replica; gives its epoch.
    pub(crate) async fn open_guest_link(
        &mut self,
        runtime_id: &RuntimeId,
        replica_id: &str,
    ) -> Result<i64, StoreError> {
        let row = self
            .fetch_optional(
                "UPDATE guest SET epoch = epoch + 1, replica_id = $2 WHERE runtime_id = $1 RETURNING epoch",
                params![runtime_id.as_str(), replica_id],
            )
            .await?;
        row.ok_or_else(|| StoreError::Corrupt { what: "a guest that linked has no row".to_owned() })?
            .int("epoch")
    }

    /// The end of a link, unless a newer one has taken its place.
    pub(crate) async fn close_guest_link(
        &mut self,
        runtime_id: &RuntimeId,
        epoch: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE guest SET replica_id = '' WHERE runtime_id = $1 AND epoch = $2",
            params![runtime_id.as_str(), epoch],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn extend_replica_lease(&mut self, id: &str, until_ms: i64) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO replica (id, lease_until_ms) VALUES ($1, $2)
             ON CONFLICT (id) DO UPDATE SET lease_until_ms = $2",
            params![id, until_ms],
        )
        .await?;
        Ok(())
    }

    /// Forgets replicas that ended long ago, so that the table stays a handful of rows.
    pub(crate) async fn delete_replicas(&mut self, ended_before_ms: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM replica WHERE lease_until_ms < $1", params![ended_before_ms]).await?;
        Ok(())
    }

    pub(crate) async fn set_observation(
        &mut self,
        account_id: &AccountId,
        runtime_id: &RuntimeId,
        seen: &Observation,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let starts = i64::try_from(seen.starts).unwrap_or(i64::MAX);
        self.execute(
            "INSERT INTO runtime_observed (runtime_id, account_id, agent_status, agent_version, agent_starts,
                 memory_limited, agent_error, receipt_desired, receipt_observed, applied_models, observed_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, '', $8)
             ON CONFLICT (runtime_id) DO UPDATE SET agent_status = $3, agent_version = $4, agent_starts = $5,
                 memory_limited = $6, agent_error = $7, observed_at_ms = $8",
            params![
                runtime_id.as_str(),
                account_id.as_str(),
                agent_status_word(seen.status),
                seen.version.clone(),
                starts,
                seen.memory_limited,
                seen.last_error.clone(),
                now_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// `applied_models` is `None` where the receipt does not confirm the newest wish.
    pub(crate) async fn set_receipt(
        &mut self,
        account_id: &AccountId,
        runtime_id: &RuntimeId,
        receipt: &Receipt,
        applied_models: Option<&str>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO runtime_observed (runtime_id, account_id, agent_status, agent_starts, memory_limited,
                 receipt_desired, receipt_observed, receipt_error, applied_models, observed_at_ms)
             VALUES ($1, $2, 'Deploying', 0, 0, $3, $4, $5, COALESCE($6, ''), $7)
             ON CONFLICT (runtime_id) DO UPDATE SET receipt_desired = $3, receipt_observed = $4,
                 receipt_error = $5, applied_models = COALESCE($6, runtime_observed.applied_models),
                 observed_at_ms = $7",
            params![
                runtime_id.as_str(),
                account_id.as_str(),
                receipt.desired,
                receipt.observed,
                receipt.error.clone(),
                applied_models,
                now_ms
            ],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn insert_virtual_key(&mut self, key: &VirtualKeyRow) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO virtual_key (id, account_id, runtime_id, key_hash, holder, created_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![
                key.id.as_str(),
                key.account_id.as_str(),
                key.runtime_id.as_str(),
                &key.key_hash,
                key.holder.as_str(),
                key.created_at_ms
            ],
        )
        .await?;
        Ok(())
    }

    /// Revokes the key that the agent itself held before it enrolled anew.
    pub(crate) async fn revoke_agent_keys(
        &mut self,
        runtime_id: &RuntimeId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE virtual_key SET revoked_at_ms = $2
             WHERE runtime_id = $1 AND holder = $3 AND revoked_at_ms IS NULL",
            params![runtime_id.as_str(), now_ms, Holder::Agent.as_str()],
        )
        .await?;
        Ok(())
    }

    /// Revokes every key of a runtime.
    pub(crate) async fn revoke_virtual_keys(
        &mut self,
        runtime_id: &RuntimeId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE virtual_key SET revoked_at_ms = $2 WHERE runtime_id = $1 AND revoked_at_ms IS NULL",
            params![runtime_id.as_str(), now_ms],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn insert_invocation(&mut self, invocation: &Invocation) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO invocation (id, account_id, runtime_id, end_user_id, session_key, message, status,
                 created_at_ms, deadline_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                invocation.id.as_str(),
                invocation.account_id.as_str(),
                invocation.runtime_id.as_str(),
                invocation.end_user.as_ref().map(EndUserId::as_str),
                &invocation.session_key,
                &invocation.message,
                invocation.status.as_str(),
                invocation.created_at_ms,
                invocation.deadline_ms
            ],
        )
        .await?;
        Ok(())
    }

    pub(crate) async fn set_invocation_sent(
        &mut self,
        id: &InvocationId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.execute(
            "UPDATE invocation SET status = 'Running', sent_at_ms = $2 WHERE id = $1 AND status = 'Pending'
                 AND command_id IS NULL",
            params![id.as_str(), now_ms],
        )
        .await?;
        Ok(())
    }

    /// Ends an invocation of this runtime once; a second outcome changes nothing.
    pub(crate) async fn finish_invocation(
        &mut self,
        id: &InvocationId,
        runtime_id: &RuntimeId,
        reply: Option<&str>,
        error_message: Option<&str>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let status = if reply.is_some() { InvocationStatus::Succeeded } else { InvocationStatus::Failed };
        self.execute(
            "UPDATE invocation SET status = $3, reply = $4, error_message = $5, finished_at_ms = $6
             WHERE id = $1 AND runtime_id = $2 AND status IN ('Pending', 'Running') AND command_id IS NULL",
            params![id.as_str(), runtime_id.as_str(), status.as_str(), reply, error_message, now_ms],
        )
        .await?;
        Ok(())
    }

    /// Fails what nobody answered in time.
    pub(crate) async fn expire_invocations(&mut self, now_ms: i64) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE invocation SET status = 'Failed', finished_at_ms = $1,
                 error_message = 'the agent did not answer in time'
             WHERE status IN ('Pending', 'Running') AND deadline_ms <= $1 AND command_id IS NULL",
            params![now_ms],
        )
        .await
    }
}
