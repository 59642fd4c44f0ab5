//! Credits as integers. One credit is 1,000,000 micro-credits; nothing in Creel computes money in floating point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Micro-credits in one credit.
pub const MICROS_PER_CREDIT: i64 = 1_000_000;

/// An amount of credits in millionths. May be negative where it is a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// Why a decimal text is not an amount of credits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("not a decimal number of credits")]
    NotDecimal,
    #[error("more than 6 decimal places")]
    TooPrecise,
    #[error("larger than 9,000,000,000,000 credits")]
    TooLarge,
}

impl Micros {
    pub const ZERO: Micros = Micros(0);

    /// Whole credits as micro-credits; `None` if it does not fit.
    pub fn from_credits(credits: i64) -> Option<Self> {
        credits.checked_mul(MICROS_PER_CREDIT).map(Micros)
    }

    /// Whole credits, rounded up: how the API shows what was used.
    pub fn credits_ceil(self) -> i64 {
        self.0.div_euclid(MICROS_PER_CREDIT) + i64::from(self.0.rem_euclid(MICROS_PER_CREDIT) != 0)
    }

    /// Whole credits, rounded down: how the API shows what remains.
    pub fn credits_floor(self) -> i64 {
        self.0.div_euclid(MICROS_PER_CREDIT)
    }

    /// Sum, `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Micros)
    }

    /// Difference, `None` on overflow.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Micros)
    }
}

/// The exact decimal with six places, such as `3.173280`.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let abs = self.0.unsigned_abs();
        let unit = MICROS_PER_CREDIT.unsigned_abs();
        write!(f, "{sign}{}.{:06}", abs / unit, abs % unit)
    }
}

/// Reads `12`, `0.2`, `-1.5`; at most six decimals, no exponent.
impl FromStr for Micros {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || digits.ends_with('.') {
            return Err(MoneyError::NotDecimal);
        }
        if fraction.len() > 6 {
            return Err(MoneyError::TooPrecise);
        }
        if whole.len() > 13 {
            return Err(MoneyError::TooLarge);
        }
        let padded = format!("{whole}{fraction:0<6}");
        let value: i64 = padded.parse().map_err(|_| MoneyError::TooLarge)?;
        Ok(Micros(if negative { -value } else { value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_round_trips() {
        for (text, micros) in
            [("0.2", 200_000), ("12", 12_000_000), ("-1.5", -1_500_000), ("3.173280", 3_173_280)]
        {
            assert_eq!(text.parse::<Micros>(), Ok(Micros(micros)), "{text}");
        }
        assert_eq!(Micros(3_173_280).to_string(), "3.173280");
        assert_eq!(Micros(-1).to_string(), "-0.000001");
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", ".", "1.", ".5", "1e3", "0.0000001", "99999999999999", " 1", "+1", "1,5"] {
            assert!(text.parse::<Micros>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn used_rounds_up_and_remaining_rounds_down() {
        assert_eq!(Micros(1).credits_ceil(), 1);
        assert_eq!(Micros(1_999_999).credits_floor(), 1);
        assert_eq!(Micros(2_000_000).credits_ceil(), 2);
        assert_eq!(Micros(-1).credits_floor(), -1);
    }
}
