//! The ledger: who may spend, what a call costs, and an entry for every credit that moves.
//!
//! A call is reserved before it begins and settled, once, after it ended. The [`engine`] decides both from balances in
//! memory, writes each decision to a journal before it answers, and moves settled calls into rows, a few times a
//! second. What the journal holds after a crash is applied by the next owner: every settled call gives its
//! entries exactly once, and a call that was cut off counts as spent, labelled `unsettled`. One process at a time
//! owns the ledger; where several share a PostgreSQL the others are [`member`]s that ask it, and take its place when it
//! is gone. Why so, what an answer waits for and what a crash costs: `docs/adr/0005-ledger.md`.
//!
//! Invariants: no balance is ever below zero; entries are never changed; every sum is written in the transaction of
//! the entries that it sums. [`Credits`] changes packs, quotas and prices and reads them for the API; the engine sees
//! such changes within a second, whichever process made them.

mod alerts;
mod apply;
mod book;
#[cfg(test)]
mod book_tests;
mod check;
mod credits;
mod deductions;
mod engine;
mod handle;
mod inner;
mod journal;
#[cfg(test)]
mod journal_tests;
mod member;
mod outbox;
mod pack;
mod period;
mod prices;
mod quota;
mod record;
mod recover;
mod remote;
mod report;
mod serve;
#[cfg(test)]
mod simulation_tests;
mod table;
mod usage;
mod used_up;

use std::sync::Arc;

use creel_wire::id::{AccountId, CallId, CreditPackId, EndUserId, ProviderId, ResourceGroupId, RuntimeId};
use creel_wire::money::Micros;
use creel_wire::price::{RateCard, Usage};
use serde::{Deserialize, Serialize};

use crate::access::AccessError;
use crate::call_limit::{CallLimit, Excess};
use crate::store::StoreError;

pub use alerts::Alert;
pub(crate) use apply::Sums;
pub(crate) use book::{AccountLoad, AgentLoad};
pub use check::{Checked, Difference};
pub(crate) use credits::WARN_PERCENT_DEFAULT;
pub use credits::{Credits, Grant, grant_monthly};
pub use deductions::{DeductionFilter, DeductionPage, Deductions, HourDeduction, Statistic};
pub use handle::{Ledger, Place, Reservation};
pub use member::Cluster;
pub(crate) use pack::PackLoad;
pub(crate) use period::month_first_ms;
pub use period::{PeriodUnit, hour_of, hour_start_ms, month_of, span_of};
pub use prices::{MultiplierRange, Preview, Price, PriceList, PriceOf, PriceSeed};
pub(crate) use quota::LimitLoad;
pub use quota::{Cycle, Quota, QuotaChange, QuotaKind};
#[cfg(fuzzing)]
pub use record::assert_journal_scans;
pub use remote::{Answer, Answered, Ask, Asked, Dial, DialError, Line};
pub use report::{ModelUsage, Report, ReportBy, ReportRow};
pub(crate) use table::JournalRow;
pub use usage::{Agent, AgentKind, EntriesPage, EntriesQuery, Subject, UsageInfo};
pub use used_up::UsedUp;

/// A call that wants to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStart {
    /// Unique; settles once.
    pub call_id: CallId,
    /// Who pays.
    pub account_id: AccountId,
    /// Whose quota counts.
    pub runtime_id: RuntimeId,
    /// Whose upstream is called.
    pub provider_id: ProviderId,
    /// Its name at this moment.
    pub provider_name: Arc<str>,
    /// The model there.
    pub model_code: Arc<str>,
    /// Its prices, if it has any.
    pub card: Option<RateCard>,
    /// Paid from packs whatever the account's setting (WuyingCredit).
    pub billed: bool,
    /// The most that the call is going to use.
    pub bound: Usage,
    /// Each of them must admit it.
    #[serde(default)]
    pub limits: Arc<[CallLimit]>,
}

/// Why a call may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("the agent has spent its credit quota")]
    QuotaSpent,
    #[error("the agent's resource group has spent its credit quota")]
    GroupQuotaSpent,
    #[error("the credit packs are spent")]
    PacksSpent,
    #[error("the model has no price, and calls to it would be billed")]
    NoPrice,
    #[error("a call limit is reached")]
    Limited(Excess),
    #[error("the ledger cannot answer now")]
    Unavailable,
}

/// When a decision is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Once its record is in the journal.
    Now,
    /// Where the journal is a file, at once: the caller lets nothing of it out of this process before it has called
    /// [`Ledger::write_deferred`], and so writes many records at a time. With a table as [`Write::Now`].
    Deferred,
}

/// Where the usage of a call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsageSource {
    /// The upstream reported it.
    Upstream,
    /// It is an estimate, and its entries are labelled so.
    Estimated,
}

/// What an entry says about its amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// From usage that the upstream reported.
    Exact,
    /// From estimated usage.
    Estimated,
    /// What the call cost beyond what there was; not deducted.
    Overrun,
    /// The call was cut off, so what was held for it counts as spent.
    Unsettled,
    /// Corrects an `unsettled` amount.
    Released,
    /// The model has no price.
    Free,
}

impl Label {
    /// As it stands in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Label::Exact => "exact",
            Label::Estimated => "estimated",
            Label::Overrun => "overrun",
            Label::Unsettled => "unsettled",
            Label::Released => "released",
            Label::Free => "free",
        }
    }
}

impl std::str::FromStr for Label {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Label::Exact, Label::Estimated, Label::Overrun, Label::Unsettled, Label::Released, Label::Free]
            .into_iter()
            .find(|label| label.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt { what: "an entry's label".to_owned() })
    }
}

/// One row of the ledger; never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The call's id, a slash and the part's number.
    pub id: Arc<str>,
    pub call_id: CallId,
    pub part: i64,
    pub account_id: AccountId,
    pub runtime_id: RuntimeId,
    pub provider_id: ProviderId,
    pub provider_name: Arc<str>,
    pub model_code: Arc<str>,
    /// `None` where no pack was touched.
    pub pack_id: Option<CreditPackId>,
    pub label: Label,
    /// On the first part of a call; zero on the others.
    pub usage: Usage,
    /// What was deducted; negative in a correction.
    pub micros: Micros,
    /// What the call cost beyond that.
    pub unbilled_micros: Micros,
    /// The resource group that the runtime was in when the call began.
    pub resource_group_id: Option<ResourceGroupId>,
    /// The user that the runtime had when the call was entered, if it had exactly one.
    pub end_user_id: Option<EndUserId>,
    /// No pack paid it, because the strategy of a used up one is Postpaid.
    pub postpaid: bool,
    /// The prices of the call.
    pub card: Option<RateCard>,
    /// The month whose quota it counts in, such as 202601.
    pub month: i64,
    /// The hour in which the call began, in hours since the Unix epoch; of older entries, in which it ended.
    pub hour: i64,
    pub created_at_ms: i64,
}

/// Where a pack's credits come from; monthly ones are spent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackSource {
    Monthly,
    Purchased,
    Granted,
}

impl PackSource {
    /// As it stands in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            PackSource::Monthly => "monthly",
            PackSource::Purchased => "purchased",
            PackSource::Granted => "granted",
        }
    }
}

impl std::str::FromStr for PackSource {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [PackSource::Monthly, PackSource::Purchased, PackSource::Granted]
            .into_iter()
            .find(|source| source.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt { what: "a pack's source".to_owned() })
    }
}

/// A credit pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    pub id: CreditPackId,
    pub account_id: AccountId,
    /// `None`: every runtime of the account may spend it.
    pub runtime_id: Option<RuntimeId>,
    pub source: PackSource,
    pub total: Micros,
    pub used: Micros,
    pub starts_at_ms: i64,
    /// `None`: never.
    pub expires_at_ms: Option<i64>,
    pub created_at_ms: i64,
    /// What happens when it is used up; `None`: calls are refused.
    pub used_up_strategy: Option<UsedUpStrategy>,
}

/// What happens when a pack is used up and there is no other to spend; the provider's PackageUsedUpStrategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedUpStrategy {
    /// Calls go on until the pack ends; what they cost is an entry without a pack, marked as postpaid.
    Postpaid,
    /// Calls are refused and the runtimes that could spend it hibernate.
    Shutdown,
    /// Calls are refused, these runtimes are stopped, and do not start before there are credits.
    Maintenance,
}

impl UsedUpStrategy {
    /// As in the API and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            UsedUpStrategy::Postpaid => "Postpaid",
            UsedUpStrategy::Shutdown => "Shutdown",
            UsedUpStrategy::Maintenance => "Maintenance",
        }
    }
}

impl std::str::FromStr for UsedUpStrategy {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [UsedUpStrategy::Postpaid, UsedUpStrategy::Shutdown, UsedUpStrategy::Maintenance]
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt { what: "a pack's strategy".to_owned() })
    }
}

fn no_address(of_owner: bool) -> String {
    let whose = if of_owner { "the process that owns the ledger" } else { "this process" };
    format!(
        "several processes share this database, and {whose} listens for administration on every address and says none \
         at which the others reach it: set cluster.advertise in its creel.toml, such as http://10.0.0.7:8080"
    )
}

/// Why the ledger or a change of credits failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("end users see the credits of their agents only")]
    NotOfEndUsers,
    #[error(
        "another process owns the ledger (its lease ends at {until_ms} ms): stop it, or give this one other roles"
    )]
    Owned { until_ms: i64 },
    #[error("another process took over the ledger")]
    Fenced,
    #[error("{}", no_address(*.of_owner))]
    NoAddress { of_owner: bool, until_ms: i64 },
    #[error("the process that owns the ledger cannot be reached at {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error(
        "the process that owns the ledger at {address} does not accept this one ({reason}): all processes over one \
         database need the same master key"
    )]
    NotAccepted { address: String, reason: String },
    #[error("no owner of the ledger has taken it yet; it is kept and said again")]
    NotDelivered,
    #[error(
        "the journal file {file} is damaged at byte {at_byte}, which was on the disk; Creel does not start \
         because calls would be lost. Restore the file from a backup, or move it out of its directory to start without \
         the calls in it that are not rows yet"
    )]
    Damaged { file: String, at_byte: usize },
    #[error("writing or reading the journal {file}")]
    Journal {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the reservation was settled before, by the sweeper")]
    AlreadySettled,
    #[error("a pack needs a positive amount and a source other than monthly")]
    BadAmount,
    #[error("no runtime {0} in this account")]
    RuntimeNotFound(String),
    #[error("no credit pack {0} in this account")]
    PackNotFound(String),
    #[error("no resource group {0} in this account")]
    GroupNotFound(String),
    #[error("no model provider {0} in this account")]
    ProviderNotFound(ProviderId),
    #[error("the operator has no system provider named {0}")]
    SystemProviderNotFound(String),
    #[error("a price begins now or later: what calls cost that were made is not changed")]
    PriceInThePast,
    #[error("the multiplier is not in its own range")]
    MultiplierOutOfRange,
    #[error("no call {0} that is unsettled")]
    NotUnsettled(CallId),
    #[error("the entries differ from the ledger's own sum by {by} credits: run `creel admin ledger check`")]
    SumsDiffer { by: Micros },
    #[error("recording the request")]
    Access(#[from] AccessError),
    #[error("reading or writing the ledger")]
    Store(#[from] StoreError),
}
