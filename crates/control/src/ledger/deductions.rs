//! What was deducted, as the provider's credit operations show it: by call, by pack and hour, by day.

use std::collections::HashMap;

use creel_wire::id::{AccountId, RuntimeId};
use creel_wire::money::Micros;

use super::period::hour_of;
use super::{AgentKind, Credits, Entry, LedgerError, Pack, credits};
use crate::page::Cursor;
use crate::runtime::Runtime;
use crate::store::{EntryFilter, PackHour};

/// Which deductions of an account; what is empty filters nothing.
#[derive(Debug, Clone, Default)]
pub struct DeductionFilter {
    /// By `ecd-…` or `jvs-…`.
    pub runtime_ids: Vec<String>,
    pub pack_ids: Vec<String>,
    /// Any of these kinds.
    pub kinds: Vec<AgentKind>,
    /// Inclusive.
    pub from_ms: Option<i64>,
    /// Exclusive.
    pub until_ms: Option<i64>,
    /// Set where a filter asks for something that no deduction can be.
    pub nothing: bool,
}

/// Where a page begins, and how many rows it has.
#[derive(Debug, Clone, Default)]
pub struct DeductionPage {
    pub after: Option<Cursor>,
    pub offset: i64,
    pub limit: i64,
}

/// Deductions, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deductions<T> {
    /// Each with the runtime that it is of, deleted or not.
    pub rows: Vec<(T, Runtime)>,
    /// How many the filter selects.
    pub count: i64,
    /// What all of them took.
    pub total: Micros,
    pub next: Option<Cursor>,
}

/// What a runtime took from a pack in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourDeduction {
    /// Hours since the Unix epoch.
    pub hour: i64,
    pub micros: Micros,
}

/// Whose use is added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic {
    /// Days since the Unix epoch, oldest first, and what was used on each; days without use are left out.
    pub days: Vec<(i64, Micros)>,
    /// What was used in each span that was asked for.
    pub spans: Vec<Micros>,
    /// The packs that there is something to take from.
    pub packs: Vec<Pack>,
}

impl Credits {
    /// Calls that moved credits, one row for each pack that a call took from.
    pub async fn deductions(
        &self,
        account_id: &AccountId,
        filter: &DeductionFilter,
        page: &DeductionPage,
    ) -> Result<Deductions<Entry>, LedgerError> {
        let Some(runtime_ids) = self.selected(account_id, filter).await? else {
            return Ok(Deductions::none());
        };
        let filter = entry_filter(account_id, &runtime_ids, filter);
        let count = self.store.count_entries(&filter).await?;
        let total = self.store.sum_entries(&filter).await?;
        let mut entries = self
            .store
            .list_entries(&filter, page.after.as_ref(), page.offset, page.limit.saturating_add(1))
            .await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().filter(|_| more);
        let next = last.map(|entry| Cursor { key: entry.created_at_ms, id: entry.id.to_string() });
        let rows = self.with_runtimes(entries, |entry| &entry.runtime_id).await?;
        Ok(Deductions { rows, count, total, next })
    }

    /// What runtimes took from packs, by hour.
    pub async fn hour_deductions(
        &self,
        account_id: &AccountId,
        filter: &DeductionFilter,
        page: &DeductionPage,
    ) -> Result<Deductions<HourDeduction>, LedgerError> {
        let Some(runtime_ids) = self.selected(account_id, filter).await? else {
            return Ok(Deductions::none());
        };
        let filter = EntryFilter { of_packs: true, ..entry_filter(account_id, &runtime_ids, filter) };
        let (count, total) = self.store.count_pack_hours(&filter).await?;
        let found = self.store.list_pack_hours(&filter, page.offset, page.limit).await?;
        let rows = self.with_runtimes(found, |row| &row.runtime_id).await?;
        let rows = rows
            .into_iter()
            .map(|(PackHour { hour, micros, .. }, runtime)| (HourDeduction { hour, micros }, runtime));
        Ok(Deductions { rows: rows.collect(), count, total, next: None })
    }

    /// What an account used, or those of its agents and packs that are named, from one moment to before another; and in
    /// each of some spans. Whole hours count.
    pub async fn statistic(
        &self,
        account_id: &AccountId,
        named: &[String],
        (from_ms, until_ms): (i64, i64),
        spans: &[(i64, i64)],
    ) -> Result<Statistic, LedgerError> {
        let now_ms = self.store.clock().now_ms();
        credits::ensure_monthly(&self.store, account_id, None, now_ms).await?;
        let mut packs = self.store.list_packs(account_id, now_ms).await?;
        let subjects: Vec<String> = if named.is_empty() {
            vec![account_id.to_string()]
        } else {
            let runtimes = self.store.runtimes_named(account_id, named).await?;
            packs.retain(|pack| {
                let of_runtime = pack.runtime_id.as_ref().is_some_and(|id| runtimes.contains(id));
                of_runtime || named.iter().any(|id| id == pack.id.as_str())
            });
            let packs = self.store.packs_named(account_id, named).await?;
            runtimes.iter().map(ToString::to_string).chain(packs.iter().map(ToString::to_string)).collect()
        };
        let days = self.store.used_in_days(&subjects, hour_of(from_ms), hour_of(until_ms - 1)).await?;
        let mut sums = Vec::with_capacity(spans.len());
        for (from_ms, until_ms) in spans {
            let used = self.store.used_in_days(&subjects, hour_of(*from_ms), hour_of(until_ms - 1)).await?;
            sums.push(Micros(used.iter().map(|(_, micros)| micros.0).sum()));
        }
        packs.retain(|pack| pack.used < pack.total);
        Ok(Statistic { days, spans: sums, packs })
    }

    /// The runtimes that a filter names, empty for all; `None` where it can select nothing.
    async fn selected(
        &self,
        account_id: &AccountId,
        filter: &DeductionFilter,
    ) -> Result<Option<Vec<RuntimeId>>, LedgerError> {
        let absent = !filter.kinds.is_empty() && filter.kinds.iter().all(|kind| *kind == AgentKind::Absent);
        if filter.nothing || absent {
            return Ok(None);
        }
        if filter.runtime_ids.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let found = self.store.runtimes_named(account_id, &filter.runtime_ids).await?;
        Ok(Some(found).filter(|found| !found.is_empty()))
    }

    async fn with_runtimes<T>(
        &self,
        rows: Vec<T>,
        of: impl Fn(&T) -> &RuntimeId,
    ) -> Result<Vec<(T, Runtime)>, LedgerError> {
        let mut ids: Vec<RuntimeId> = rows.iter().map(|row| of(row).clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = self.store.runtimes_of(&ids).await?;
        let known: HashMap<&RuntimeId, &Runtime> =
            found.iter().map(|runtime| (&runtime.id, runtime)).collect();
        // Rows of runtimes are never removed.
        let named = rows.into_iter().filter_map(|row| {
            let runtime = known.get(of(&row)).copied().cloned()?;
            Some((row, runtime))
        });
        Ok(named.collect())
    }
}

impl<T> Deductions<T> {
    fn none() -> Self {
        Self { rows: Vec::new(), count: 0, total: Micros::ZERO, next: None }
    }
}

fn entry_filter<'a>(
    account_id: &'a AccountId,
    runtime_ids: &'a [RuntimeId],
    filter: &'a DeductionFilter,
) -> EntryFilter<'a> {
    let wants = |kind| filter.kinds.contains(&kind);
    EntryFilter {
        runtime_ids,
        pack_ids: &filter.pack_ids,
        is_jvs: match (wants(AgentKind::Jvs), wants(AgentKind::OpenClaw)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        },
        from_ms: filter.from_ms,
        until_ms: filter.until_ms,
        only_moved: true,
        ..EntryFilter::all(account_id)
    }
}
