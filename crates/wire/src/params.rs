//! The parameters of one request: query and form merged into one map, within limits.
//!
//! Nothing here knows an operation; `ops::Fields` reads typed values out of the map. No input panics: the fuzz
//! target `params_decode` and a property test hold that up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use crate::error::{ApiError, ErrorCode};

/// Most pairs in query and form together.
pub const PAIRS_MAX: usize = 2_000;
/// Most bytes of query and form together, before decoding.
pub const BYTES_MAX: usize = 1 << 20;

/// Decoded parameters by their full name, such as `LlmTemplateItems.1.LlmCode`.
///
/// It has no `Debug` of its values: a value may be a provider's key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params {
    values: BTreeMap<String, String>,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Params {
    /// Merges the raw query and the raw form body.
    ///
    /// A name given twice with the same value counts once (legacy clients repeat parameters in query and body);
    /// with two values it is refused, because no reader could tell which one was signed for.
    ///
    /// # Errors
    /// `RequestEntityTooLarge` over [`BYTES_MAX`] or [`PAIRS_MAX`], `InvalidParameter` for bytes that are not UTF-8
    /// and for contradicting values.
    pub fn decode(query: &str, form: &[u8]) -> Result<Self, ApiError> {
        if query.len().saturating_add(form.len()) > BYTES_MAX {
            return Err(too_large());
        }
        let form = std::str::from_utf8(form).map_err(|_| not_utf8())?;
        let mut values = BTreeMap::new();
        for (position, pair) in decode_pairs(query).chain(decode_pairs(form)).enumerate() {
            if position >= PAIRS_MAX {
                return Err(too_large());
            }
            let (name, value) = pair?;
            match values.entry(name.into_owned()) {
                Entry::Vacant(slot) => {
                    slot.insert(value.into_owned());
                }
                Entry::Occupied(slot) if slot.get().as_str() == value => {}
                Entry::Occupied(slot) => return Err(contradiction(slot.key())),
            }
        }
        Ok(Self { values })
    }

    /// The value of exactly this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Every name and value, ordered by the bytes of the name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names and values that start with `prefix`, without it, in byte order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Params {
    /// From pairs that are decoded already; the last of equal names stays. For clients and tests.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self { values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

/// One decoded `name=value`.
pub(crate) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Splits and decodes a query or form: `+` and `%20` are both a space, a name without `=` has an empty value.
pub(crate) fn decode_pairs(raw: &str) -> impl Iterator<Item = Result<Pair<'_>, ApiError>> {
    raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode_component(name)?, decode_component(value)?))
    })
}

fn decode_component(raw: &str) -> Result<Cow<'_, str>, ApiError> {
    let spaced = if raw.contains('+') { Cow::Owned(raw.replace('+', " ")) } else { Cow::Borrowed(raw) };
    if !spaced.contains('%') {
        return Ok(spaced);
    }
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().map_err(|_| not_utf8())?;
    Ok(Cow::Owned(decoded.into_owned()))
}

fn too_large() -> ApiError {
    ApiError::new(
        ErrorCode::REQUEST_TOO_LARGE,
        format!("Query and form together hold at most {PAIRS_MAX} parameters and {BYTES_MAX} bytes."),
    )
}

fn not_utf8() -> ApiError {
    ApiError::new(ErrorCode::INVALID_PARAMETER, "Parameter names and values must be percent-encoded UTF-8.")
}

fn contradiction(name: &str) -> ApiError {
    let shown: String = name.chars().take(100).collect();
    ApiError::new(
        ErrorCode::INVALID_PARAMETER,
        format!("The parameter {shown} is given twice with two values."),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic(query in "[ -~]{0,80}", form in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Params::decode(&query, &form);
        }
    }

    fn code(query: &str, form: &[u8]) -> String {
        Params::decode(query, form).expect_err("refused").code.into_owned()
    }

    #[test]
    fn query_and_form_are_merged_and_decoded() {
        let params = Params::decode("A=1&B=a+b%2B&Empty=&Bare", "Name=%E9%92%89%20x*~%2F&A=1".as_bytes())
            .expect("decodes");
        assert_eq!(params.get("A"), Some("1"));
        assert_eq!(params.get("B"), Some("a b+"));
        assert_eq!(params.get("Name"), Some("钉 x*~/"));
        assert_eq!((params.get("Empty"), params.get("Bare"), params.get("a")), (Some(""), Some(""), None));
        assert_eq!(params.iter().count(), 5);
    }

    #[test]
    fn names_under_a_prefix_come_without_it() {
        let params: Params =
            [("L.1.A", "a"), ("L.2", "b"), ("L", "c"), ("L1", "d"), ("M.1", "e")].into_iter().collect();
        assert_eq!(params.under("L.").collect::<Vec<_>>(), [("1.A", "a"), ("2", "b")]);
    }

    #[test]
    fn contradictions_bad_bytes_and_excess_are_refused() {
        assert_eq!(code("A=1", b"A=2"), "InvalidParameter");
        assert_eq!(code("A=%FF", b""), "InvalidParameter");
        assert_eq!(code("", b"A=\xff"), "InvalidParameter");
        assert_eq!(code("", &vec![b'a'; BYTES_MAX + 1]), "RequestEntityTooLarge");
        let many: Vec<String> = (0..=PAIRS_MAX).map(|n| format!("A.{n}=1")).collect();
        assert_eq!(code(&many.join("&"), b""), "RequestEntityTooLarge");
        assert!(Params::decode(&many[..PAIRS_MAX].join("&"), b"").is_ok());
    }

    #[test]
    fn debug_output_has_names_only() {
        let params: Params = [("Config", "sk-1")].into_iter().collect();
        assert_eq!(format!("{params:?}"), r#"{"Config"}"#);
    }
}
