//! Entries and the sums that go with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry as MapEntry;

use super::super::batch::{padded, portion};
use super::super::{Row, Store, StoreError, Tx, Value, params};
use super::marks;
use crate::ledger::{Entry, Label, Sums};
use crate::seal::{Leaf, leaf_hash};
use crate::sealing::{Log, SealRow};
use creel_wire::id::{AccountId, CallId, EndUserId};
use creel_wire::money::Micros;
use creel_wire::price::{RateCard, Usage};
use sea_query::{Query, SelectStatement};

/// Rows of sums in one statement at the most.
const SUMS_MAX: usize = 128;
/// Entries of a call that are read at once; few have more.
const PARTS_AT_ONCE: usize = 16;
/// Entries that are worth a signature.
const SEALED_AT_ONCE_MIN: usize = 16;
/// Values in one list of a statement at the most.
const LIST_MAX: usize = 500;

pub(super) const COLUMNS: [&str; 24] = [
    "id",
    "call_id",
    "part",
    "account_id",
    "runtime_id",
    "provider_id",
    "provider_name",
    "model_code",
    "pack_id",
    "label",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "micros",
    "unbilled_micros",
    "price_json",
    "month",
    "hour",
    "created_at_ms",
    "postpaid",
    "resource_group_id",
    "end_user_id",
];

/// The values of [`COLUMNS`], and of [`SEAL_COLUMNS`] behind them.
type EntryRow = [Value; COLUMNS.len() + SEAL_COLUMNS.len()];
const SEAL_COLUMNS: [&str; 2] = ["tag", "batch"];

/// What every query of entries selects.
pub(super) fn columns() -> String {
    COLUMNS.join(", ")
}

fn tokens(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Texts that many entries have.
#[derive(Debug, Default)]
struct Texts {
    prices: HashMap<RateCard, Arc<str>>,
    labels: HashMap<Label, Arc<str>>,
}

impl Texts {
    fn price(&mut self, card: RateCard) -> Result<Arc<str>, StoreError> {
        Ok(match self.prices.entry(card) {
            MapEntry::Occupied(price) => price.get().clone(),
            MapEntry::Vacant(price) => {
                let text = serde_json::to_string(&card);
                let text = text.map_err(|_| StoreError::Corrupt { what: "a price to write".to_owned() })?;
                price.insert(text.into()).clone()
            }
        })
    }

    fn label(&mut self, label: Label) -> Arc<str> {
        self.labels.entry(label).or_insert_with(|| label.as_str().into()).clone()
    }

    /// What [`COLUMNS`] have, and room for what seals them.
    fn values(&mut self, entry: &Entry) -> Result<EntryRow, StoreError> {
        let text = |text: &Arc<str>| Value::from(text.clone());
        Ok([
            text(&entry.id),
            Arc::<str>::from(&entry.call_id).into(),
            entry.part.into(),
            Arc::<str>::from(&entry.account_id).into(),
            Arc::<str>::from(&entry.runtime_id).into(),
            Arc::<str>::from(&entry.provider_id).into(),
            text(&entry.provider_name),
            text(&entry.model_code),
            entry.pack_id.as_ref().map(Arc::<str>::from).into(),
            self.label(entry.label).into(),
            tokens(entry.usage.input).into(),
            tokens(entry.usage.cached_input).into(),
            tokens(entry.usage.cache_write).into(),
            tokens(entry.usage.output).into(),
            tokens(entry.usage.reasoning).into(),
            entry.micros.0.into(),
            entry.unbilled_micros.0.into(),
            entry.card.map(|card| self.price(card)).transpose()?.into(),
            entry.month.into(),
            entry.hour.into(),
            entry.created_at_ms.into(),
            entry.postpaid.into(),
            entry.resource_group_id.as_ref().map(Arc::<str>::from).into(),
            entry.end_user_id.as_ref().map(Arc::<str>::from).into(),
            None::<&str>.into(),
            None::<i64>.into(),
        ])
    }
}

/// Columns that hold numbers.
const NUMBERS: [&str; 12] = [
    "part",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "micros",
    "unbilled_micros",
    "month",
    "hour",
    "created_at_ms",
    "postpaid",
];

/// What the row's tag and its hash are of: every column, each behind its length; a null has the length 2^64 - 1.
fn sealed_bytes(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    put_sealed_bytes(values, &mut bytes);
    bytes
}

/// The same, in place of what is in `bytes`.
fn put_sealed_bytes(values: &[Value], bytes: &mut Vec<u8>) {
    bytes.clear();
    let mut digits = itoa::Buffer::new();
    add(bytes, Some(b"creel-ledger-v1"));
    for value in values {
        match value {
            Value::Text(text) => add(bytes, text.as_deref().map(str::as_bytes)),
            Value::Shared(text) => add(bytes, Some(text.as_bytes())),
            Value::Int(None) => add(bytes, None),
            Value::Int(Some(number)) => add(bytes, Some(digits.format(*number).as_bytes())),
        }
    }
}

fn add(bytes: &mut Vec<u8>, text: Option<&[u8]>) {
    let length = text.map_or(u64::MAX, |text| u64::try_from(text.len()).unwrap_or(u64::MAX - 1));
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.unwrap_or_default());
}

/// `SELECT` of every column of an entry, with what seals it.
pub(in crate::store) fn rows_of_ledger() -> SelectStatement {
    let mut select = Query::select();
    select.from("ledger_entry").columns(COLUMNS).columns(SEAL_COLUMNS);
    select
}

/// Reads a row of [`rows_of_ledger`], whatever stands in it.
pub(in crate::store) fn seal_row_of_entry(row: &Row) -> Result<SealRow, StoreError> {
    let value = |column: &&str| -> Result<Value, StoreError> {
        Ok(if NUMBERS.contains(column) { row.opt_int(column)?.into() } else { row.opt_text(column)?.into() })
    };
    let values = COLUMNS.iter().map(value).collect::<Result<Vec<Value>, StoreError>>()?;
    Ok(SealRow {
        id: row.text("id")?,
        at_ms: row.int("created_at_ms")?,
        bytes: sealed_bytes(&values),
        tag: row.text("tag")?,
        batch: row.opt_int("batch")?,
        index: None,
    })
}

/// Reads a row of [`columns`].
pub(super) fn entry(row: &Row) -> Result<Entry, StoreError> {
    let tokens = |column: &str| row.int(column).map(|count| count.max(0).unsigned_abs());
    let price = row.opt_text("price_json")?;
    let card = price.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Entry {
        id: row.text("id")?.into(),
        call_id: row.parse("call_id")?,
        part: row.int("part")?,
        account_id: row.parse("account_id")?,
        runtime_id: row.parse("runtime_id")?,
        provider_id: row.parse("provider_id")?,
        provider_name: row.text("provider_name")?.into(),
        model_code: row.text("model_code")?.into(),
        pack_id: row.opt_parse("pack_id")?,
        label: row.text("label")?.parse()?,
        usage: Usage {
            input: tokens("input_tokens")?,
            cached_input: tokens("cached_input_tokens")?,
            cache_write: tokens("cache_write_tokens")?,
            output: tokens("output_tokens")?,
            reasoning: tokens("reasoning_tokens")?,
        },
        micros: Micros(row.int("micros")?),
        unbilled_micros: Micros(row.int("unbilled_micros")?),
        postpaid: row.flag("postpaid")?,
        resource_group_id: row.opt_parse("resource_group_id")?,
        end_user_id: row.opt_parse("end_user_id")?,
        card: card.map_err(|_| StoreError::Corrupt { what: "the price of an entry".to_owned() })?,
        month: row.int("month")?,
        hour: row.int("hour")?,
        created_at_ms: row.int("created_at_ms")?,
    })
}

impl Store {
    /// Label and micro-credits of each entry of a call, of whichever account.
    pub(crate) async fn list_call_amounts(&self, call_id: &CallId) -> Result<Vec<(Label, i64)>, StoreError> {
        let mut amounts = Vec::new();
        loop {
            let first = amounts.len();
            let ids: Vec<String> =
                (first..first + PARTS_AT_ONCE).map(|part| format!("{call_id}/{part}")).collect();
            let marks = marks(ids.len());
            let sql = format!("SELECT label, micros FROM ledger_entry WHERE id IN ({marks}) ORDER BY part");
            let found = self.db().fetch_all(sql, padded(ids.iter().map(String::as_str))).await?;
            for row in &found {
                amounts.push((row.text("label")?.parse()?, row.int("micros")?));
            }
            if found.len() < PARTS_AT_ONCE {
                return Ok(amounts);
            }
        }
    }
}

impl Tx {
    /// Which of these calls have entries.
    pub(crate) async fn calls_with_entries(
        &mut self,
        calls: &[String],
    ) -> Result<HashSet<String>, StoreError> {
        let mut present = HashSet::new();
        for list in calls.chunks(LIST_MAX) {
            let first_parts: Vec<String> = list.iter().map(|call_id| format!("{call_id}/0")).collect();
            let ids = padded(first_parts.iter().map(String::as_str));
            let sql = format!("SELECT call_id FROM ledger_entry WHERE id IN ({})", marks(ids.len()));
            for row in self.fetch_all(sql, ids).await? {
                present.insert(row.text("call_id")?);
            }
        }
        Ok(present)
    }

    /// The entries of one call of an account, in order.
    pub(crate) async fn entries_of_call(
        &mut self,
        account_id: &AccountId,
        call_id: &CallId,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        // By their ids, which follow from the call's: what a database takes for the order of punctuation does not matter.
        loop {
            let first = entries.len();
            let ids: Vec<String> =
                (first..first + PARTS_AT_ONCE).map(|part| format!("{call_id}/{part}")).collect();
            let sql = format!(
                "SELECT {} FROM ledger_entry WHERE id IN ({}) AND account_id = ${} ORDER BY part",
                columns(),
                marks(ids.len()),
                ids.len() + 1
            );
            let mut values = padded(ids.iter().map(String::as_str));
            values.push(account_id.as_str().into());
            let found = self.fetch_all(sql, values).await?;
            for row in &found {
                entries.push(entry(row)?);
            }
            if found.len() < PARTS_AT_ONCE {
                return Ok(entries);
            }
        }
    }

    /// Says of each entry which user its runtime has, where it has exactly one.
    pub(crate) async fn name_users(&mut self, entries: &mut [Entry]) -> Result<(), StoreError> {
        let runtimes: BTreeSet<&str> = entries.iter().map(|entry| entry.runtime_id.as_str()).collect();
        let runtimes: Vec<&str> = runtimes.into_iter().collect();
        let mut users: HashMap<String, EndUserId> = HashMap::new();
        for list in runtimes.chunks(LIST_MAX) {
            let list = padded(list.iter().copied());
            let sql = format!(
                "SELECT runtime_id, MIN(end_user_id) AS end_user_id FROM runtime_user
                 WHERE runtime_id IN ({}) GROUP BY runtime_id HAVING COUNT(*) = 1",
                marks(list.len())
            );
            for row in self.fetch_all(sql, list).await? {
                // A name that is none must not stop the ledger.
                if let Ok(user) = row.parse("end_user_id") {
                    users.insert(row.text("runtime_id")?, user);
                }
            }
        }
        for entry in entries {
            entry.end_user_id = users.get(entry.runtime_id.as_str()).cloned();
        }
        Ok(())
    }

    /// Inserts entries; `Unique` if a call has entries already. Where this process seals, many entries are sealed at
    /// once, and never touched again; few, of which each would cost a signature, are marked, and sealed later together.
    pub(crate) async fn insert_entries(&mut self, entries: &[Entry], now_ms: i64) -> Result<(), StoreError> {
        let columns: Vec<&str> = COLUMNS.into_iter().chain(SEAL_COLUMNS).collect();
        let (mut texts, mut bytes) = (Texts::default(), Vec::new());
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            rows.push(texts.values(entry)?);
        }
        let is_many = entries.len() >= SEALED_AT_ONCE_MIN;
        let head = if is_many { self.take_head(Log::Ledger).await? } else { None };
        if let Some(head) = head {
            let leaf = |(entry, [row @ .., _, _]): (&Entry, &EntryRow)| {
                put_sealed_bytes(row, &mut bytes);
                Leaf(entry.id.clone(), leaf_hash(&bytes))
            };
            let leaves = entries.iter().zip(&rows).map(leaf).collect();
            let times = entries.iter().map(|entry| entry.created_at_ms);
            let batch = self.seal(head, leaves, times, None, now_ms).await?;
            let no_tag: Arc<str> = "".into();
            for [.., tag, of_batch] in &mut rows {
                (*tag, *of_batch) = (no_tag.clone().into(), batch.into());
            }
        } else {
            for [row @ .., tag, _] in &mut rows {
                *tag = self.audit_tag(&sealed_bytes(row)).into();
            }
        }
        self.insert_many("ledger_entry", &columns, rows).await
    }

    /// Adds to the sums what new entries say. The constraints of the tables refuse what would fall below zero or
    /// spend more than a pack has.
    pub(crate) async fn add_sums(&mut self, sums: &Sums) -> Result<(), StoreError> {
        // Where each agent has a pack of its own they are as many as the entries.
        let mut packs = sums.packs.iter();
        while let Some(count) = portion(packs.len(), SUMS_MAX) {
            let tuples: Vec<String> = (0..count)
                .map(|row| format!("(CAST(${} AS TEXT), CAST(${} AS BIGINT))", row * 2 + 1, row * 2 + 2))
                .collect();
            // Both databases name the columns of a list of values so.
            let sql = format!(
                "UPDATE credit_pack SET used_micros = used_micros + more.column2
                 FROM (VALUES {}) AS more WHERE credit_pack.id = more.column1",
                tuples.join(", ")
            );
            let values = packs.by_ref().take(count).flat_map(|(pack, micros)| params![pack, *micros]);
            let changed = self.execute(sql, values.collect()).await?;
            if usize::try_from(changed).ok() != Some(count) {
                return Err(StoreError::Corrupt {
                    what: "an entry's credit pack, which there is not".to_owned(),
                });
            }
        }
        self.add_to("usage_month", "month", &sums.months).await?;
        self.add_to("usage_hour", "hour", &sums.hours).await
    }

    async fn add_to(
        &mut self,
        table: &'static str,
        period: &'static str,
        sums: &BTreeMap<(String, i64), i64>,
    ) -> Result<(), StoreError> {
        // A negative row would break the constraint before it meets the row that it corrects.
        let (more, less): (Vec<_>, Vec<_>) = sums.iter().partition(|(_, micros)| **micros > 0);
        let mut more = more.into_iter();
        while let Some(count) = portion(more.len(), SUMS_MAX) {
            let tuples: Vec<String> = (0..count)
                .map(|row| format!("(${}, ${}, ${})", row * 3 + 1, row * 3 + 2, row * 3 + 3))
                .collect();
            let sql = format!(
                "INSERT INTO {table} (subject_id, {period}, used_micros) VALUES {}
                 ON CONFLICT (subject_id, {period})
                 DO UPDATE SET used_micros = {table}.used_micros + excluded.used_micros",
                tuples.join(", ")
            );
            let values =
                more.by_ref().take(count).flat_map(|((subject, at), micros)| params![subject, *at, *micros]);
            self.execute(sql, values.collect()).await?;
        }
        for ((subject, at), micros) in less {
            let sql = format!(
                "UPDATE {table} SET used_micros = used_micros + $3 WHERE subject_id = $1 AND {period} = $2"
            );
            self.execute(sql, params![subject, *at, *micros]).await?;
        }
        Ok(())
    }
}
