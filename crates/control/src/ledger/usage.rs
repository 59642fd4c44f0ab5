//! What the API shows of credits. Sums come from the tables that the applier keeps, so they lag by milliseconds.

use creel_wire::id::{AccountId, RuntimeId};
use creel_wire::money::Micros;

use super::credits::WARN_PERCENT_DEFAULT;
use super::period::day_start_ms;
use super::{Credits, Entry, LedgerError, Pack, credits, hour_of, month_of};
use crate::access::Scope;
use crate::page::Cursor;
use crate::store::{AgentRow, EntryFilter};

/// Hours of a trend, the present one included.
const TREND_HOURS: i64 = 24;
/// Days of a week's usage, today included.
const WEEK_HOURS: i64 = 7 * 24;

/// Which kind of agent; the provider's AgentType.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKind {
    /// A JVS Computer, or a Hermes Agent: it has a `jvs-…` id.
    Jvs,
    /// An OpenClaw on a plain runtime.
    OpenClaw,
    /// Kinds that Creel does not have: no agent is of it.
    Absent,
}

/// An agent with its credits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub runtime_id: RuntimeId,
    /// `jvs-…` where it has one, else the runtime's.
    pub agent_id: String,
    pub desktop_type: String,
    pub created_at_ms: i64,
    /// The pack of its own that is spent first.
    pub pack: Option<Pack>,
    /// Its quota of a cycle; without one what its own packs hold; `None` if it has neither.
    pub total: Option<Micros>,
    /// What it used in this cycle; without a quota in this month.
    pub used: Micros,
    pub warn_percent: i64,
}

/// Whose usage is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The whole account.
    Account,
    Pack(String),
    /// By `ecd-…` or `jvs-…`.
    Agent(String),
}

/// Usage of an account, a pack or an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageInfo {
    /// The account's, the pack's or the agent's id.
    pub key: String,
    /// What there is to spend: packs that are valid now, the pack, or the agent's quota (else its own packs).
    pub total: Option<Micros>,
    /// What is spent of that.
    pub used: Micros,
    /// Used in all time.
    pub used_ever: Micros,
    /// Used this calendar month.
    pub used_month: Micros,
    /// Used in the cycle that is now: of an agent's quota, else this calendar month.
    pub used_period: Micros,
    /// Used today.
    pub used_day: Micros,
    /// Used in the last seven days, today included.
    pub used_week: Micros,
    /// The pack that is spent first.
    pub current: Option<Pack>,
    /// Each of the last 24 hours (hours since the Unix epoch), oldest first.
    pub trend: Vec<(i64, Micros)>,
    /// At which part of the total somebody is told.
    pub warn_percent: i64,
    /// When it last reached its warn percentage.
    pub warned_at_ms: Option<i64>,
}

impl UsageInfo {
    /// What is left of the total; never below zero.
    pub fn remaining(&self) -> Option<Micros> {
        self.total.map(|total| left(total, self.used))
    }
}

/// What is left; a quota that was lowered below what is spent leaves nothing.
fn left(total: Micros, used: Micros) -> Micros {
    Micros(total.0.saturating_sub(used.0).max(0))
}

/// Which entries.
#[derive(Debug, Clone, Default)]
pub struct EntriesQuery {
    /// By `ecd-…` or `jvs-…`; empty: all of the account.
    pub runtime_ids: Vec<String>,
    /// Inclusive.
    pub from_ms: Option<i64>,
    /// Exclusive.
    pub until_ms: Option<i64>,
    pub after: Option<Cursor>,
    pub limit: i64,
}

/// Entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    pub entries: Vec<Entry>,
    /// Sum of all that the query selects, not only of this page.
    pub total: Micros,
    pub next: Option<Cursor>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Hours {
    day: i64,
    week: i64,
}

impl Credits {
    /// Agents by id of their runtimes: those named, or all. Gives the cursor of the next page, if there is one.
    pub async fn list_agents(
        &self,
        account_id: &AccountId,
        agent_ids: &[String],
        kind: Option<AgentKind>,
        after: Option<&Cursor>,
        limit: i64,
    ) -> Result<(Vec<Agent>, Option<Cursor>), LedgerError> {
        let is_jvs = match kind {
            Some(AgentKind::Absent) => return Ok((Vec::new(), None)),
            other => other.map(|kind| kind == AgentKind::Jvs),
        };
        let now_ms = self.store.clock().now_ms();
        let after = after.map(|cursor| cursor.id.as_str());
        let mut rows = self
            .store
            .list_credit_agents(
                account_id,
                agent_ids,
                is_jvs,
                hour_of(now_ms),
                after,
                limit.saturating_add(1),
            )
            .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        credits::ensure_monthly(&self.store, account_id, None, now_ms).await?;
        let packs = self.store.list_packs(account_id, now_ms).await?;
        let agents: Vec<Agent> = rows.into_iter().map(|row| agent(row, &packs)).collect();
        let last = agents.last().filter(|_| more);
        let next = last.map(|agent| Cursor { key: 0, id: agent.runtime_id.to_string() });
        Ok((agents, next))
    }

    /// Usage of these; an agent or pack that the scope does not have is an error.
    pub async fn usage(&self, scope: &Scope, subjects: Vec<Subject>) -> Result<Vec<UsageInfo>, LedgerError> {
        let now_ms = self.store.clock().now_ms();
        let account_id = &scope.account_id;
        let entitled = scope.entitled(now_ms);
        let mut infos = Vec::with_capacity(subjects.len());
        for subject in subjects {
            infos.push(match subject {
                Subject::Account | Subject::Pack(_) if entitled.is_some() => {
                    return Err(LedgerError::NotOfEndUsers);
                }
                Subject::Account => self.account_usage(account_id, now_ms).await?,
                Subject::Pack(id) => {
                    let pack = self.store.find_pack(account_id, &id).await?;
                    self.pack_usage(pack.ok_or(LedgerError::PackNotFound(id))?, now_ms).await?
                }
                Subject::Agent(id) => {
                    if let Some(to) = &entitled
                        && !self.store.is_entitled(account_id, &id, to).await?
                    {
                        return Err(LedgerError::RuntimeNotFound(id));
                    }
                    self.agent_usage(account_id, id, now_ms).await?
                }
            });
        }
        Ok(infos)
    }

    /// Every valid pack of an account and of its runtimes, in the order in which they are spent.
    pub async fn list_packs(&self, account_id: &AccountId) -> Result<Vec<Pack>, LedgerError> {
        Ok(self.store.list_packs(account_id, self.store.clock().now_ms()).await?)
    }

    /// A page of entries and the sum of all that the query selects. Ids that name no runtime select nothing.
    pub async fn list_entries(&self, scope: &Scope, query: EntriesQuery) -> Result<EntriesPage, LedgerError> {
        let account_id = &scope.account_id;
        let entitled = scope.entitled(self.store.clock().now_ms());
        let runtime_ids = match query.runtime_ids.as_slice() {
            [] => Vec::new(),
            named => self.store.runtimes_named(account_id, named).await?,
        };
        if runtime_ids.is_empty() && !query.runtime_ids.is_empty() {
            return Ok(EntriesPage { entries: Vec::new(), total: Micros::ZERO, next: None });
        }
        let filter = EntryFilter {
            runtime_ids: &runtime_ids,
            from_ms: query.from_ms,
            until_ms: query.until_ms,
            entitled: entitled.as_ref(),
            ..EntryFilter::all(account_id)
        };
        let total = self.store.sum_entries(&filter).await?;
        let mut entries =
            self.store.list_entries(&filter, query.after.as_ref(), 0, query.limit.saturating_add(1)).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| more);
        let next = last.map(|entry| Cursor { key: entry.created_at_ms, id: entry.id.to_string() });
        Ok(EntriesPage { entries, total, next })
    }

    /// Entries behind an id, by id: for exports. Empty at the end.
    pub async fn export_entries(
        &self,
        account_id: Option<&AccountId>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.store.scan_entries(account_id, after, limit).await?)
    }

    async fn account_usage(&self, account_id: &AccountId, now_ms: i64) -> Result<UsageInfo, LedgerError> {
        credits::ensure_monthly(&self.store, account_id, None, now_ms).await?;
        let packs = self.store.list_packs(account_id, now_ms).await?;
        let mut info = self.info(account_id.as_str(), now_ms).await?;
        let sum =
            |of: fn(&Pack) -> Micros| packs.iter().fold(0i64, |sum, pack| sum.saturating_add(of(pack).0));
        info.total = Some(Micros(sum(|pack| pack.total)));
        info.used = Micros(sum(|pack| pack.used));
        info.current = first_with_rest(packs.into_iter());
        info.warn_percent = self.store.account_warn_percent(account_id).await?;
        Ok(info)
    }

    async fn pack_usage(&self, pack: Pack, now_ms: i64) -> Result<UsageInfo, LedgerError> {
        let mut info = self.info(pack.id.as_str(), now_ms).await?;
        info.total = Some(pack.total);
        info.used = pack.used;
        info.used_ever = pack.used;
        let month_hours = hour_of(super::period::month_start_ms(now_ms));
        let hours = self.store.used_in_hours(pack.id.as_str(), month_hours).await?;
        info.used_month = Micros(hours.iter().map(|(_, micros)| micros.0).sum());
        info.used_period = info.used_month;
        info.warn_percent = self.store.account_warn_percent(&pack.account_id).await?;
        info.current = Some(pack);
        Ok(info)
    }

    async fn agent_usage(
        &self,
        account_id: &AccountId,
        id: String,
        now_ms: i64,
    ) -> Result<UsageInfo, LedgerError> {
        let Some(name) = self.store.find_agent(account_id, &id).await? else {
            return Err(LedgerError::RuntimeNotFound(id));
        };
        let ids = [name.runtime_id.to_string()];
        let (agents, _) = self.list_agents(account_id, &ids, None, None, 1).await?;
        let Some(agent) = agents.into_iter().next() else { return Err(LedgerError::RuntimeNotFound(id)) };
        let mut info = self.info(name.runtime_id.as_str(), now_ms).await?;
        info.key = agent.agent_id;
        info.total = agent.total;
        info.used = agent.used;
        info.used_period = agent.used;
        info.current = agent.pack;
        info.warn_percent = agent.warn_percent;
        Ok(info)
    }

    /// The part of the usage that only depends on whose sums are read.
    async fn info(&self, subject_id: &str, now_ms: i64) -> Result<UsageInfo, LedgerError> {
        let (used_month, used_ever) = self.store.used_in_months(subject_id, month_of(now_ms)).await?;
        let now_hour = hour_of(now_ms);
        let today = hour_of(day_start_ms(now_ms));
        let week = today - (WEEK_HOURS - 24);
        let hours = self.store.used_in_hours(subject_id, week.min(now_hour - TREND_HOURS + 1)).await?;
        let sums = hours.iter().fold(Hours::default(), |sums, (hour, micros)| Hours {
            day: sums.day + if *hour >= today { micros.0 } else { 0 },
            week: sums.week + if *hour >= week { micros.0 } else { 0 },
        });
        let of_hour =
            |hour: i64| hours.iter().find(|(at, _)| *at == hour).map_or(Micros::ZERO, |(_, micros)| *micros);
        Ok(UsageInfo {
            key: subject_id.to_owned(),
            total: None,
            used: Micros::ZERO,
            used_ever,
            used_month,
            used_period: used_month,
            used_day: Micros(sums.day),
            used_week: Micros(sums.week),
            current: None,
            trend: (now_hour - TREND_HOURS + 1..=now_hour).map(|hour| (hour, of_hour(hour))).collect(),
            warn_percent: WARN_PERCENT_DEFAULT,
            warned_at_ms: self.store.last_alert_ms(subject_id).await?,
        })
    }
}

fn agent(row: AgentRow, packs: &[Pack]) -> Agent {
    let own = || packs.iter().filter(|pack| pack.runtime_id.as_ref() == Some(&row.name.runtime_id));
    let held = own().next().is_some().then(|| Micros(own().map(|pack| pack.total.0).sum()));
    Agent {
        pack: first_with_rest(own().cloned()),
        total: row.quota.or(held),
        runtime_id: row.name.runtime_id.clone(),
        agent_id: row.name.agent_id,
        desktop_type: row.desktop_type,
        created_at_ms: row.created_at_ms,
        used: row.used,
        warn_percent: row.warn_percent.unwrap_or(WARN_PERCENT_DEFAULT),
    }
}

/// The first pack of which something is left, else the first.
fn first_with_rest(packs: impl Iterator<Item = Pack>) -> Option<Pack> {
    let packs: Vec<Pack> = packs.collect();
    let rest = packs.iter().find(|pack| pack.used < pack.total);
    rest.or(packs.first()).cloned()
}
