//! Quotas: what a runtime, or a resource group's runtimes together, may spend in a cycle. Pure.

use creel_wire::money::Micros;
use serde::{Deserialize, Serialize};

use super::period::{hour_of, hour_start_ms, month_end_ms, month_start_ms};
use crate::store::StoreError;

/// Hours in a day and a week.
const DAY_HOURS: i64 = 24;
const WEEK_HOURS: i64 = 7 * DAY_HOURS;
/// Hours from the Monday before the Unix epoch to it: that was a Thursday.
const MONDAY_HOURS: i64 = 3 * DAY_HOURS;

/// After which time a quota is whole again; in UTC, weeks begin on Mondays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Cycle {
    Day,
    Week,
    #[default]
    Month,
}

impl Cycle {
    /// As in the store and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Cycle::Day => "Day",
            Cycle::Week => "Week",
            Cycle::Month => "Month",
        }
    }

    /// The cycle that an hour is in: its first hour and the one after its last, in hours since the Unix epoch.
    pub(crate) fn span(self, hour: i64) -> (i64, i64) {
        let of = |length: i64, offset: i64| {
            let first = (hour + offset).div_euclid(length) * length - offset;
            (first, first + length)
        };
        match self {
            Cycle::Day => of(DAY_HOURS, 0),
            Cycle::Week => of(WEEK_HOURS, MONDAY_HOURS),
            Cycle::Month => {
                let at_ms = hour_start_ms(hour);
                (hour_of(month_start_ms(at_ms)), hour_of(month_end_ms(at_ms)))
            }
        }
    }

    /// Its first hour.
    pub(crate) fn start(self, hour: i64) -> i64 {
        self.span(hour).0
    }
}

impl std::str::FromStr for Cycle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Cycle::Day, Cycle::Week, Cycle::Month]
            .into_iter()
            .find(|cycle| cycle.as_str() == text)
            .ok_or_else(|| "give Day, Week or Month".to_owned())
    }
}

/// What a quota is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaKind {
    Agent,
    /// All runtimes of a resource group together.
    Group,
}

impl QuotaKind {
    /// As in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            QuotaKind::Agent => "agent",
            QuotaKind::Group => "group",
        }
    }
}

impl std::str::FromStr for QuotaKind {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [QuotaKind::Agent, QuotaKind::Group]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt { what: "what a quota is of".to_owned() })
    }
}

/// A change of a quota.
#[derive(Debug, Clone, Default)]
pub struct QuotaChange {
    /// `None` takes the limit away.
    pub quota: Option<Micros>,
    /// `None` leaves it: a month at first.
    pub cycle: Option<Cycle>,
    /// 0 (never) to 100. `None` leaves it: 80 at first.
    pub warn_percent: Option<i64>,
}

/// A quota and what is spent of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub kind: QuotaKind,
    /// The runtime or the resource group.
    pub subject_id: String,
    pub quota: Micros,
    pub cycle: Cycle,
    pub warn_percent: i64,
    /// In the cycle that is now.
    pub used: Micros,
}

/// A quota as the store has it, and what is spent of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitLoad {
    /// `None`: no limit.
    pub(crate) quota: Option<i64>,
    pub(crate) cycle: Cycle,
    /// The first hour of the cycle that `used` is of.
    pub(crate) start: i64,
    pub(crate) used: i64,
}

/// What calls hold, and what settled ones cost that are not in rows yet.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) held: i64,
    pub(crate) pending: i64,
}

impl Flight {
    /// Nothing is in flight.
    pub(crate) fn is_empty(self) -> bool {
        self.held == 0 && self.pending == 0
    }

    /// Both together.
    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            held: self.held.saturating_add(other.held),
            pending: self.pending.saturating_add(other.pending),
        }
    }
}

/// A quota in use: what is spent, and what is in flight by the hour in which it began.
#[derive(Debug, Default)]
pub(crate) struct Limit {
    load: LimitLoad,
    flights: Vec<(i64, Flight)>,
}

impl Limit {
    /// Takes over what the store has; what is in flight stays.
    pub(crate) fn load(&mut self, load: LimitLoad) {
        self.load = load;
    }

    /// Whether `used` is of the cycle that this hour is in.
    pub(crate) fn is_current(&self, hour: i64) -> bool {
        self.load.start == self.load.cycle.start(hour)
    }

    /// What is in flight of calls that began in an hour.
    pub(crate) fn flight(&mut self, hour: i64) -> &mut Flight {
        let at = match self.flights.iter().position(|(of, _)| *of == hour) {
            Some(at) => at,
            None => {
                // Hours that nothing is in flight of are dropped as a new one comes.
                self.flights.retain(|(_, flight)| !flight.is_empty());
                self.flights.push((hour, Flight::default()));
                self.flights.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the position was found or made on the lines above")]
        &mut self.flights[at].1
    }

    /// What is held by calls that began in the cycle of `hour`.
    pub(crate) fn held(&self, hour: i64) -> i64 {
        self.in_flight(hour).held
    }

    fn in_flight(&self, hour: i64) -> Flight {
        let (first, end) = self.load.cycle.span(hour);
        let of_cycle = self.flights.iter().filter(|(of, _)| (first..end).contains(of));
        of_cycle.fold(Flight::default(), |sum, (_, flight)| sum.add(*flight))
    }

    /// What is left for calls that began in this hour; `None` without a quota.
    pub(crate) fn free(&self, hour: i64) -> Option<i64> {
        let quota = self.load.quota?;
        // What an earlier cycle had left is not in memory any more; its late overruns are not billed.
        if !self.is_current(hour) {
            return Some(0);
        }
        let flight = self.in_flight(hour);
        Some(quota.saturating_sub(self.load.used).saturating_sub(flight.pending).saturating_sub(flight.held))
    }

    /// What was pending of a call that began in this hour is in rows now.
    pub(crate) fn applied(&mut self, hour: i64, micros: i64) {
        let flight = self.flight(hour);
        flight.pending = flight.pending.saturating_sub(micros);
        if self.is_current(hour) {
            self.load.used = self.load.used.saturating_add(micros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> i64 {
        hour_of(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn cycles_begin_where_the_calendar_says() {
        for (cycle, moment, first, end) in [
            (Cycle::Day, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            (Cycle::Day, "2026-01-01T23:59:59Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            // A Thursday, a Sunday and a Monday.
            (Cycle::Week, "2026-01-01T12:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"),
            (Cycle::Week, "2026-01-04T23:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"),
            (Cycle::Week, "2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"),
            (Cycle::Month, "2026-12-31T23:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(cycle.span(hour(moment)), (hour(first), hour(end)), "{cycle:?} {moment}");
        }
    }
}
