//! Calendar months and hours, in UTC, as the ledger counts them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;

/// How long a span of the calendar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodUnit {
    Year,
    Month,
    Day,
    Hour,
}

/// The hour of a moment: hours since the Unix epoch.
pub fn hour_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(HOUR_MS)
}

/// The first moment of an hour.
pub fn hour_start_ms(hour: i64) -> i64 {
    hour.saturating_mul(HOUR_MS)
}

fn date_of(at_ms: i64) -> Date {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::UTC.to_datetime(at).date()
}

/// The month of a moment: year * 100 + month, such as 202601.
pub fn month_of(at_ms: i64) -> i64 {
    let date = date_of(at_ms);
    i64::from(date.year()) * 100 + i64::from(date.month())
}

/// The first moment of the month after the one that `at_ms` is in.
pub(crate) fn month_end_ms(at_ms: i64) -> i64 {
    let date = date_of(at_ms);
    let (year, month) =
        if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
    start_ms(year, month)
}

/// The first moment of the month that `at_ms` is in.
pub(crate) fn month_start_ms(at_ms: i64) -> i64 {
    let date = date_of(at_ms);
    start_ms(date.year(), date.month())
}

/// The first moment of a month, such as 202601.
pub(crate) fn month_first_ms(month: i64) -> i64 {
    let year = i16::try_from(month.div_euclid(100)).unwrap_or(i16::MAX);
    start_ms(year, i8::try_from(month.rem_euclid(100)).unwrap_or(i8::MAX))
}

/// The first moment of the day that `at_ms` is in.
pub(crate) fn day_start_ms(at_ms: i64) -> i64 {
    at_ms.div_euclid(24 * HOUR_MS) * 24 * HOUR_MS
}

/// The first moment of the year, month, day or hour that `at_ms` is in, and of the one after it.
pub fn span_of(unit: PeriodUnit, at_ms: i64) -> (i64, i64) {
    let year = date_of(at_ms).year();
    match unit {
        PeriodUnit::Year => (start_ms(year, 1), start_ms(year.saturating_add(1), 1)),
        PeriodUnit::Month => (month_start_ms(at_ms), month_end_ms(at_ms)),
        PeriodUnit::Day => (day_start_ms(at_ms), day_start_ms(at_ms) + 24 * HOUR_MS),
        PeriodUnit::Hour => (hour_start_ms(hour_of(at_ms)), hour_start_ms(hour_of(at_ms) + 1)),
    }
}

fn start_ms(year: i16, month: i8) -> i64 {
    // Beyond the year 9999 there is no next month: the pack of its last one never ends.
    Date::new(year, month, 1)
        .and_then(|date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)))
        .map_or(i64::MAX, Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn months_and_hours_begin_where_the_calendar_says() {
        for (moment, month, start, end) in [
            ("2026-01-02T03:04:05Z", 202_601, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2026-12-31T23:59:59.999Z", 202_612, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T00:00:00Z", 202_802, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            let moment = at(moment);
            assert_eq!(month_of(moment), month);
            assert_eq!((month_start_ms(moment), month_end_ms(moment)), (at(start), at(end)));
            assert_eq!(month_of(month_end_ms(moment) - 1), month);
        }
        assert_eq!(hour_start_ms(hour_of(at("2026-01-02T03:59:59Z"))), at("2026-01-02T03:00:00Z"));
        assert_eq!(day_start_ms(at("2026-01-02T03:59:59Z")), at("2026-01-02T00:00:00Z"));
    }
}
