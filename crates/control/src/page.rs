//! Pages of lists: by number, and by an opaque token that names the last row seen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

/// Highest page number: beyond it nobody pages by hand, and the offset would overflow nothing.
const PAGE_NUMBER_MAX: i64 = 1_000_000;

/// Why a page cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    #[error("the page size is not between 1 and {max}")]
    Size { max: i64 },
    #[error("the page number is not between 0 and 1000000")]
    Number,
    #[error("the token does not come from an earlier page of this list")]
    Token,
}

/// A page by number. The provider counts from 1 and treats 0 as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageNumber {
    pub number: i64,
    pub size: i64,
}

impl PageNumber {
    /// Checks what the caller gave.
    pub fn new(
        number: Option<i64>,
        size: Option<i64>,
        size_default: i64,
        size_max: i64,
    ) -> Result<Self, PageError> {
        let size = size.unwrap_or(size_default);
        if !(1..=size_max).contains(&size) {
            return Err(PageError::Size { max: size_max });
        }
        let number = number.unwrap_or(1);
        if !(0..=PAGE_NUMBER_MAX).contains(&number) {
            return Err(PageError::Number);
        }
        Ok(Self { number: number.max(1), size })
    }

    /// Rows before this page.
    pub fn offset(self) -> i64 {
        (self.number - 1) * self.size
    }
}

/// The last row of the page before, in the list's own order: a sort key and the unique id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    #[serde(rename = "k")]
    pub key: i64,
    #[serde(rename = "i")]
    pub id: String,
}

impl Cursor {
    /// The NextToken text.
    pub fn to_token(&self) -> String {
        BASE64.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a NextToken; empty text means the first page, as SDK loops send it.
    pub fn from_token(token: Option<&str>) -> Result<Option<Self>, PageError> {
        let Some(token) = token.filter(|text| !text.is_empty()) else { return Ok(None) };
        // An id may hold a tag's key of 128 characters.
        if token.len() > 1024 {
            return Err(PageError::Token);
        }
        let json = BASE64.decode(token).map_err(|_| PageError::Token)?;
        serde_json::from_slice(&json).map(Some).map_err(|_| PageError::Token)
    }
}

/// One page and what leads to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// All rows that match, where the list counts them.
    pub total: i64,
    /// `None` on the last page.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_zero_and_one_are_the_same() {
        assert_eq!(PageNumber::new(Some(0), None, 20, 100), PageNumber::new(Some(1), Some(20), 20, 100));
        assert_eq!(PageNumber::new(Some(3), Some(10), 20, 100).unwrap().offset(), 20);
    }

    #[test]
    fn bad_pages_are_refused() {
        assert_eq!(PageNumber::new(None, Some(0), 20, 100), Err(PageError::Size { max: 100 }));
        assert_eq!(PageNumber::new(None, Some(101), 20, 100), Err(PageError::Size { max: 100 }));
        assert_eq!(PageNumber::new(Some(-1), None, 20, 100), Err(PageError::Number));
        assert_eq!(Cursor::from_token(Some("%%%")), Err(PageError::Token));
    }

    #[test]
    fn a_token_round_trips() {
        let cursor = Cursor { key: 7, id: "ecd-1".into() };
        assert_eq!(Cursor::from_token(Some(&cursor.to_token())), Ok(Some(cursor)));
        assert_eq!(Cursor::from_token(Some("")), Ok(None));
    }
}
