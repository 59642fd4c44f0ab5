//! Rows of skills.

mod auth;
mod observed;
mod package;
mod policy;
mod version;

use creel_wire::id::{AccountId, RuntimeId, SkillId};
use sea_query::{Expr, ExprTrait, LockType, Order, Query, SelectStatement};

use super::{Row, Store, StoreError, Tx, params};
use crate::page::PageNumber;
use crate::skill::{Skill, SkillFilter};

pub(super) use observed::{IS_DRIFT, SKILLS_MODIFIED};

const COLUMNS: [&str; 14] = [
    "id",
    "account_id",
    "slug",
    "channel",
    "display_name",
    "description",
    "author",
    "enabled",
    "env_sealed",
    "api_key_sealed",
    "icon",
    "pinned_version",
    "current_version",
    "created_at_ms",
];

fn skill(row: &Row) -> Result<Skill, StoreError> {
    Ok(Skill {
        id: row.parse("id")?,
        account_id: row.parse("account_id")?,
        slug: row.text("slug")?,
        channel: row.parse("channel")?,
        display_name: row.text("display_name")?,
        description: row.text("description")?,
        author: row.text("author")?,
        enabled: row.flag("enabled")?,
        env_sealed: row.opt_text("env_sealed")?,
        api_key_sealed: row.opt_text("api_key_sealed")?,
        icon: row.opt_text("icon")?,
        pinned_version: row.opt_text("pinned_version")?,
        current_version: row.opt_text("current_version")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

/// A JSON column.
fn to_json(value: &impl serde::Serialize, what: &str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt { what: what.to_owned() })
}

fn matching(account_id: &AccountId, filter: &SkillFilter) -> SelectStatement {
    let mut select = Query::select();
    select
        .from("skill")
        .and_where(Expr::col("account_id").eq(account_id.as_str()))
        .and_where(Expr::col("channel").eq(filter.channel.as_str()));
    if !filter.ids.is_empty() {
        select.and_where(Expr::col("id").is_in(filter.ids.iter().map(String::as_str)));
    }
    select
}

impl Store {
    /// One page of an account's skills, oldest first, and how many match.
    pub(crate) async fn list_skills(
        &self,
        account_id: &AccountId,
        filter: &SkillFilter,
        page: PageNumber,
    ) -> Result<(Vec<Skill>, i64), StoreError> {
        let mut select = matching(account_id, filter);
        select
            .columns(COLUMNS)
            .order_by("created_at_ms", Order::Asc)
            .order_by("id", Order::Asc)
            .limit(page.size.unsigned_abs())
            .offset(page.offset().unsigned_abs());
        let skills = self.db().select(&select).await?.iter().map(skill).collect::<Result<_, _>>()?;
        Ok((skills, self.count(matching(account_id, filter)).await?))
    }

    /// A skill of an account.
    pub(crate) async fn find_skill(
        &self,
        account_id: &AccountId,
        id: &str,
    ) -> Result<Option<Skill>, StoreError> {
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .from("skill")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col("id").eq(id));
        self.db().select(&select).await?.first().map(skill).transpose()
    }
}

impl Tx {
    pub(crate) async fn count_skills(&mut self, account_id: &AccountId) -> Result<i64, StoreError> {
        let sql = "SELECT CAST(COUNT(*) AS BIGINT) AS total FROM skill WHERE account_id = $1";
        let row = self.fetch_optional(sql, params![account_id.as_str()]).await?;
        row.map_or(Ok(0), |row| row.int("total"))
    }

    /// The skills of an account that these ids name, in the order of their ids and locked where the database has row
    /// locks.
    pub(crate) async fn lock_skills(
        &mut self,
        account_id: &AccountId,
        ids: &[String],
    ) -> Result<Vec<Skill>, StoreError> {
        self.lock_skills_by(account_id, "id", ids).await
    }

    /// The skill of an account with this slug, locked.
    pub(crate) async fn lock_skill_of_slug(
        &mut self,
        account_id: &AccountId,
        slug: &str,
    ) -> Result<Option<Skill>, StoreError> {
        Ok(self.lock_skills_by(account_id, "slug", &[slug.to_owned()]).await?.pop())
    }

    async fn lock_skills_by(
        &mut self,
        account_id: &AccountId,
        column: &'static str,
        values: &[String],
    ) -> Result<Vec<Skill>, StoreError> {
        let mut select = Query::select();
        select
            .columns(COLUMNS)
            .from("skill")
            .and_where(Expr::col("account_id").eq(account_id.as_str()))
            .and_where(Expr::col(column).is_in(values.iter().map(String::as_str)))
            .order_by("id", Order::Asc);
        if self.is_postgres() {
            select.lock(LockType::Update);
        }
        self.select(&select).await?.iter().map(skill).collect()
    }

    /// `Unique` if the account has a skill of this slug.
    pub(crate) async fn insert_skill(&mut self, skill: &Skill) -> Result<(), StoreError> {
        let row = params![
            skill.id.as_str(),
            skill.account_id.as_str(),
            &skill.slug,
            skill.channel.as_str(),
            &skill.display_name,
            &skill.description,
            &skill.author,
            skill.enabled,
            skill.env_sealed.clone(),
            skill.api_key_sealed.clone(),
            skill.icon.clone(),
            skill.pinned_version.clone(),
            skill.current_version.clone(),
            skill.created_at_ms,
        ];
        self.insert_many("skill", &COLUMNS, vec![row]).await
    }

    pub(crate) async fn set_skill_enabled(&mut self, id: &SkillId, enabled: bool) -> Result<(), StoreError> {
        self.execute("UPDATE skill SET enabled = $2 WHERE id = $1", params![id.as_str(), enabled]).await?;
        Ok(())
    }

    pub(crate) async fn set_pinned_version(
        &mut self,
        id: &SkillId,
        version: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE skill SET pinned_version = $2 WHERE id = $1";
        self.execute(sql, params![id.as_str(), version]).await?;
        Ok(())
    }

    pub(crate) async fn set_current_version(
        &mut self,
        id: &SkillId,
        version: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE skill SET current_version = $2 WHERE id = $1";
        self.execute(sql, params![id.as_str(), version]).await?;
        Ok(())
    }

    /// The pinned and the current version of a skill.
    pub(crate) async fn versions_in_use(
        &mut self,
        id: &SkillId,
    ) -> Result<(Option<String>, Option<String>), StoreError> {
        let sql = "SELECT pinned_version, current_version FROM skill WHERE id = $1";
        match self.fetch_optional(sql, params![id.as_str()]).await? {
            Some(row) => Ok((row.opt_text("pinned_version")?, row.opt_text("current_version")?)),
            None => Ok((None, None)),
        }
    }

    /// Deletes skills with their versions and authorisations.
    pub(crate) async fn delete_skills(&mut self, skills: &[Skill]) -> Result<(), StoreError> {
        for (table, column) in [("skill_auth", "skill_id"), ("skill_version", "skill_id"), ("skill", "id")] {
            let mut delete = Query::delete();
            delete
                .from_table(table)
                .and_where(Expr::col(column).is_in(skills.iter().map(|skill| skill.id.as_str())));
            self.delete(&delete).await?;
        }
        Ok(())
    }

    /// Agents of an account follow.
    pub(crate) async fn touch_skills(&mut self, account_id: &AccountId) -> Result<(), StoreError> {
        let sql = "UPDATE account SET skill_revision = skill_revision + 1 WHERE id = $1";
        self.execute(sql, params![account_id.as_str()]).await?;
        Ok(())
    }

    /// What is known about the skills of a runtime that is deleted.
    pub(super) async fn forget_skills_of_runtime(&mut self, id: &RuntimeId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM skill_auth WHERE identity_kind = 'Runtime' AND identity_id = $1
                 AND account_id = (SELECT account_id FROM runtime WHERE id = $1)",
            "DELETE FROM skill_security WHERE runtime_id = $1",
            "DELETE FROM runtime_skill WHERE runtime_id = $1",
        ] {
            self.execute(sql, params![id.as_str()]).await?;
        }
        Ok(())
    }
}
