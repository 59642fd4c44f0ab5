//! What a failed try was, and what follows from it. All of it is in two tables.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderMap};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Why a try gave no answer that a client could use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, or it broke before an answer.
    Unreachable,
    /// No answer began in time.
    Silent,
    /// The key, or the account behind it.
    Key,
    /// Too much for now.
    Busy,
    /// Trouble of the upstream's own.
    Failing,
    /// Trouble that may be the upstream's, and as well that of this one request: it must not shut others out.
    Unclear,
    /// The request: it would fare no better elsewhere.
    Request,
}

/// What follows from a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// Another target may do better.
    pub(crate) elsewhere: bool,
    /// The same target may, a little later, where there is no other.
    pub(crate) again: bool,
    /// It says that the target is not well.
    pub(crate) trips: bool,
}

/// Which fault a status is; one that is not here is the request's.
const STATUSES: &[(RangeInclusive<u16>, Fault)] = &[
    (401..=403, Fault::Key),
    (408..=408, Fault::Failing),
    (429..=429, Fault::Busy),
    (500..=500, Fault::Unclear),
    // Not 501 and 505: what is not implemented will not be at the next try.
    (502..=504, Fault::Failing),
    // 520 to 530 are those of content networks, 529 is Anthropic's for an overload.
    (506..=599, Fault::Failing),
];

impl Fault {
    /// Of an answer with this status, whose body says nothing else.
    pub(crate) fn of(status: StatusCode) -> Self {
        let found = STATUSES.iter().find(|(statuses, _)| statuses.contains(&status.as_u16()));
        found.map_or(Self::Request, |(_, fault)| *fault)
    }

    pub(crate) fn rule(self) -> Rule {
        let rule = |elsewhere, again, trips| Rule { elsewhere, again, trips };
        match self {
            Self::Unreachable | Self::Failing => rule(true, true, true),
            Self::Unclear => rule(true, true, false),
            Self::Silent => rule(true, false, true),
            Self::Key | Self::Busy => rule(true, false, false),
            Self::Request => rule(false, false, false),
        }
    }

    /// It is the key's, so that another key may do better at the same address; else it is the address's.
    pub(crate) fn is_of_key(self) -> bool {
        matches!(self, Self::Key | Self::Busy)
    }
}

/// For how long an answer asks not to be asked again.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let text = text(header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_is_tried_again_is_decided_by_status() {
        for (statuses, fault) in [
            (&[400, 404, 405, 409, 413, 415, 422, 301, 501, 505][..], Fault::Request),
            (&[401, 402, 403], Fault::Key),
            (&[429], Fault::Busy),
            (&[408, 502, 503, 504, 520, 522, 529], Fault::Failing),
            (&[500], Fault::Unclear),
        ] {
            for status in statuses {
                assert_eq!(Fault::of(StatusCode::from_u16(*status).expect("a status")), fault, "{status}");
            }
        }
        assert!(!Fault::Request.rule().elsewhere && !Fault::Request.rule().again);
        assert!(Fault::Key.rule().elsewhere && !Fault::Key.rule().trips);
    }

    #[test]
    fn retry_after_is_read_in_each_of_its_forms() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().expect("a time");
        for (name, value, seconds) in [
            ("retry-after", "7", Some(7.0)),
            ("retry-after", "Tue, 24 Nov 2026 12:01:30 GMT", Some(90.0)),
            ("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT", Some(0.0)),
            ("retry-after", "soon", None),
            ("retry-after-ms", "250", Some(0.25)),
            ("x-else", "1", None),
        ] {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert_eq!(retry_after(&headers, now).map(|d| d.as_secs_f64()), seconds, "{name}: {value}");
        }
    }
}
