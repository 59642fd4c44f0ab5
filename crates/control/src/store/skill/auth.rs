//! Rows of who may have a skill, and of where only such skills may be.

use creel_wire::id::{AccountId, RuntimeId, SkillId};
use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use crate::page::PageNumber;
use crate::skill::{AuthedIdentity, Channel, Identity, Skill};
use crate::store::{Store, StoreError, Tx, params};

fn auths(skill_id: &SkillId) -> SelectStatement {
    let mut select = Query::select();
    select.from("skill_auth").and_where(Expr::col("skill_id").eq(skill_id.as_str()));
    select
}

fn secured(account_id: &AccountId, channel: Channel) -> SelectStatement {
    let mut select = Query::select();
    select
        .from("skill_security")
        .and_where(Expr::col("account_id").eq(account_id.as_str()))
        .and_where(Expr::col("channel").eq(channel.as_str()));
    select
}

impl Store {
    /// One page of a skill's identities, oldest first, and how many it has.
    pub(crate) async fn list_skill_auths(
        &self,
        skill_id: &SkillId,
        page: PageNumber,
    ) -> Result<(Vec<AuthedIdentity>, i64), StoreError> {
        let mut select = auths(skill_id);
        select.columns(["identity_id", "auto_install"]);
        for column in ["created_at_ms", "identity_kind", "identity_id"] {
            select.order_by(column, Order::Asc);
        }
        select.limit(page.size.unsigned_abs()).offset(page.offset().unsigned_abs());
        let rows = self.db().select(&select).await?;
        let identity = |row: &crate::store::Row| {
            Ok(AuthedIdentity { id: row.text("identity_id")?, auto_install: row.flag("auto_install")? })
        };
        let items = rows.iter().map(identity).collect::<Result<_, StoreError>>()?;
        Ok((items, self.count(auths(skill_id)).await?))
    }

    /// One page of the runtimes whose security policy is on, oldest first, and how many there are.
    pub(crate) async fn list_skill_security(
        &self,
        account_id: &AccountId,
        channel: Channel,
        page: PageNumber,
    ) -> Result<(Vec<RuntimeId>, i64), StoreError> {
        let mut select = secured(account_id, channel);
        select
            .column("runtime_id")
            .order_by("created_at_ms", Order::Asc)
            .order_by("runtime_id", Order::Asc)
            .limit(page.size.unsigned_abs())
            .offset(page.offset().unsigned_abs());
        let rows = self.db().select(&select).await?;
        let items = rows.iter().map(|row| row.parse("runtime_id")).collect::<Result<_, _>>()?;
        Ok((items, self.count(secured(account_id, channel)).await?))
    }
}

impl Tx {
    /// Takes each of these skills from each of these identities.
    pub(crate) async fn delete_skill_auths(
        &mut self,
        skills: &[Skill],
        identities: &[Identity],
    ) -> Result<(), StoreError> {
        if skills.is_empty() || identities.is_empty() {
            return Ok(());
        }
        let pair = |identity: &Identity| (identity.kind_word, identity.id.clone());
        let mut delete = Query::delete();
        delete
            .from_table("skill_auth")
            .and_where(Expr::col("skill_id").is_in(skills.iter().map(|skill| skill.id.as_str())))
            .and_where(
                Expr::tuple([Expr::col("identity_kind"), Expr::col("identity_id")])
                    .in_tuples(identities.iter().map(pair)),
            );
        self.delete(&delete).await?;
        Ok(())
    }

    /// Gives each of these skills to each of these identities, which do not have it.
    pub(crate) async fn insert_skill_auths(
        &mut self,
        account_id: &AccountId,
        skills: &[Skill],
        identities: &[Identity],
        auto_install: bool,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let row = |skill: &Skill, identity: &Identity| {
            params![
                skill.id.as_str(),
                identity.kind_word,
                &identity.id,
                account_id.as_str(),
                auto_install,
                now_ms
            ]
        };
        let rows =
            skills.iter().flat_map(|skill| identities.iter().map(move |identity| row(skill, identity)));
        let columns =
            ["skill_id", "identity_kind", "identity_id", "account_id", "auto_install", "created_at_ms"];
        self.insert_many("skill_auth", &columns, rows.collect()).await
    }

    /// How many skills an identity has.
    pub(crate) async fn count_skills_of(
        &mut self,
        account_id: &AccountId,
        identity: &Identity,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM skill_auth
                   WHERE account_id = $1 AND identity_kind = $2 AND identity_id = $3";
        let values = params![account_id.as_str(), identity.kind_word, &identity.id];
        let row = self.fetch_optional(sql, values).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// What a resource group or a user had, which is deleted.
    pub(in crate::store) async fn forget_skill_identity(
        &mut self,
        account_id: &AccountId,
        kind: crate::skill::IdentityKind,
        id: &str,
    ) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM skill_auth WHERE account_id = $1 AND identity_kind = $2 AND identity_id = $3",
            params![account_id.as_str(), kind.as_str(), id],
        )
        .await?;
        Ok(())
    }

    /// Turns the security policy of runtimes on or off.
    pub(crate) async fn set_skill_security(
        &mut self,
        account_id: &AccountId,
        channel: Channel,
        runtimes: &[RuntimeId],
        on: bool,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        for id in runtimes {
            if on {
                self.execute(
                    "INSERT INTO skill_security (account_id, runtime_id, channel, created_at_ms)
                     VALUES ($1, $2, $3, $4)
                     ON CONFLICT (runtime_id) DO UPDATE SET channel = excluded.channel",
                    params![account_id.as_str(), id.as_str(), channel.as_str(), now_ms],
                )
                .await?;
            } else {
                let sql = "DELETE FROM skill_security WHERE runtime_id = $1";
                self.execute(sql, params![id.as_str()]).await?;
            }
        }
        Ok(())
    }
}
