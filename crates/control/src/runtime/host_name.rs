//! Host names that a caller chooses, which only Windows runtimes may have.

use super::RuntimeError;

/// Characters of a host name; the provider's documented limits.
const CHARS: std::ops::RangeInclusive<usize> = 2..=15;
/// Digits of a number in a pattern at the most; the provider's documented limit.
const DIGITS_MAX: usize = 4;

/// The host name of the `index`-th runtime of a batch. A pattern is `prefix[begin,digits]suffix`: numbers from `begin`
/// (0 if left out) with at least so many digits (4 if left out). Without one, all have the same name.
pub(super) fn host_name(pattern: &str, index: i64) -> Result<String, RuntimeError> {
    let bad = || RuntimeError::HostName(pattern.to_owned());
    let name = match pattern.split_once('[') {
        None => pattern.to_owned(),
        Some((prefix, rest)) => {
            let (numbers, suffix) = rest.split_once(']').ok_or_else(bad)?;
            let (begin, digits) = numbers.split_once(',').ok_or_else(bad)?;
            let (begin, digits) = (begin.trim(), digits.trim());
            let begin: i64 =
                if begin.is_empty() { 0 } else { begin.parse::<u32>().map_err(|_| bad())?.into() };
            let digits = if digits.is_empty() { DIGITS_MAX } else { digits.parse().map_err(|_| bad())? };
            if !(1..=DIGITS_MAX).contains(&digits) {
                return Err(bad());
            }
            format!("{prefix}{:0digits$}{suffix}", begin + index)
        }
    };
    let allowed = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let edges = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    let numeric = name.chars().all(|c| c.is_ascii_digit());
    if !allowed || edges || numeric || !CHARS.contains(&name.len()) {
        return Err(bad());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_count_and_what_no_host_can_be_called_is_refused() {
        for (pattern, index, expected) in [
            ("test-host", 3, "test-host"),
            ("ecd-[1,4]-test", 0, "ecd-0001-test"),
            ("ecd-[1,4]-test", 99, "ecd-0100-test"),
            ("h[,1]", 10, "h10"),
            ("h[7,]", 0, "h0007"),
        ] {
            assert_eq!(host_name(pattern, index).unwrap(), expected);
        }
        let bad = [
            "",
            "h",
            "-host",
            "host-",
            "ho--st",
            "12345",
            "ho st",
            "h\u{f6}st",
            "sixteen-letters-",
            "h[1,5]",
            "h[1,0]",
            "h[-1,2]",
            "h[1]",
            "h[1,2",
            "h[a,b]",
            "long-prefix[1,4]-x",
        ];
        for pattern in bad {
            assert!(matches!(host_name(pattern, 0), Err(RuntimeError::HostName(_))), "{pattern:?}");
        }
    }
}
