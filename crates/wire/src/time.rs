//! The provider's ways to write a moment. All are UTC here: the API names no zone where it writes none.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// One way to write a moment, by what its smallest unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2021-05-06T05:58Z`: desktops and office sites.
    Minutes,
    /// `2026-01-02T03:04:05Z`: images, signatures, and our own operations.
    Seconds,
    /// `2026-03-04T06:25:17.000+00:00`: models.
    Millis,
    /// `2022-11-29T17:25:40.000000000Z`: resource groups.
    Nanos,
    /// `2026-04-01 10:00:00`: credits.
    SpacedSeconds,
    /// `2026-05-02 10`: points of a credit trend.
    SpacedHours,
}

impl TimeFormat {
    /// Every format, the most common first.
    pub const ALL: [TimeFormat; 6] =
        [Self::Seconds, Self::Minutes, Self::SpacedSeconds, Self::SpacedHours, Self::Millis, Self::Nanos];

    fn pattern(self) -> &'static str {
        match self {
            Self::Minutes => "%Y-%m-%dT%H:%MZ",
            Self::Seconds => "%Y-%m-%dT%H:%M:%SZ",
            Self::Millis => "%Y-%m-%dT%H:%M:%S.%3f+00:00",
            Self::Nanos => "%Y-%m-%dT%H:%M:%S.%9fZ",
            Self::SpacedSeconds => "%Y-%m-%d %H:%M:%S",
            Self::SpacedHours => "%Y-%m-%d %H",
        }
    }

    /// Writes a moment; what is smaller than the smallest unit is cut off.
    pub fn write(self, at: Timestamp) -> String {
        at.strftime(self.pattern()).to_string()
    }

    /// Reads exactly what [`TimeFormat::write`] writes; `None` for anything else, such as `2026-1-2`.
    pub fn read(self, text: &str) -> Option<Timestamp> {
        let civil = match self {
            // an hour alone is no time of day to the parser
            Self::SpacedHours => DateTime::strptime("%Y-%m-%d %H:%M", format!("{text}:00")).ok()?,
            _ => DateTime::strptime(self.pattern(), text).ok()?,
        };
        let at = Offset::UTC.to_timestamp(civil).ok()?;
        (self.write(at) == text).then_some(at)
    }
}

/// Reads a moment in any of the provider's formats.
pub fn read_any(text: &str) -> Option<Timestamp> {
    TimeFormat::ALL.into_iter().find_map(|format| format.read(text))
}

/// Reads epoch milliseconds; `None` outside the years -9999 to 9999.
pub fn from_epoch_ms(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

/// Epoch milliseconds, rounded towards zero.
pub fn to_epoch_ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_format_reads_what_it_writes() {
        let at = from_epoch_ms(1_772_605_517_000).expect("in range");
        for (format, text) in [
            (TimeFormat::Minutes, "2026-03-04T06:25Z"),
            (TimeFormat::Seconds, "2026-03-04T06:25:17Z"),
            (TimeFormat::Millis, "2026-03-04T06:25:17.000+00:00"),
            (TimeFormat::SpacedSeconds, "2026-03-04 06:25:17"),
            (TimeFormat::SpacedHours, "2026-03-04 06"),
        ] {
            assert_eq!(format.write(at), text);
            let read = format.read(text).expect(text);
            assert_eq!(format.write(read), text);
            assert_eq!(read_any(text), Some(read));
        }
        assert_eq!(
            TimeFormat::Millis.read("2026-03-04T06:25:17.123+00:00").map(to_epoch_ms),
            Some(1_772_605_517_123)
        );
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "now",
            "2026-13-04T06:25Z",
            "2026-02-30T06:25Z",
            "2026-3-4T06:25Z",
            "2026-03-04T06:25",
            "2026-03-04",
            "2026-03-04T06:25:17.000+08:00",
            "2026-03-04T24:00Z",
            "1772605517000",
            " 2026-03-04 06",
            "2026-03-04 6",
        ] {
            assert_eq!(read_any(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = read_any(&text);
        }

        #[test]
        fn seconds_round_trip(seconds in 0_i64..4_102_444_800) {
            let at = from_epoch_ms(seconds * 1000).expect("in range");
            prop_assert_eq!(TimeFormat::Seconds.read(&TimeFormat::Seconds.write(at)), Some(at));
        }
    }
}
