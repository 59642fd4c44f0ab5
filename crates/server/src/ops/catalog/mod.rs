//! What runtimes can be made from: images, bundles, desktop types.

pub(crate) mod describe_bundles;
pub(crate) mod describe_desktop_types;
pub(crate) mod describe_images;

use creel_control::page::{Cursor, PageError};
use creel_wire::error::ApiError;

/// Items of a page where the caller names no number; the provider's default.
const PAGE_ITEMS_DEFAULT: i64 = 10;
/// Items of a page at the most; the provider's limit in its text.
const PAGE_ITEMS_MAX: i64 = 100;

/// True if the caller asked for nothing, or for this.
fn wants(asked: Option<&str>, offered: &str) -> bool {
    asked.is_none_or(|asked| asked.eq_ignore_ascii_case(offered))
}

/// True if the caller named no ids, or this one.
fn wants_id(asked: &[String], id: &str) -> bool {
    asked.is_empty() || asked.iter().any(|asked| asked == id)
}

/// One page of a list that fits in memory: its cursor is the number of items before it.
fn page<T>(
    items: Vec<T>,
    next_token: Option<&str>,
    max_results: Option<i64>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let limit = max_results.unwrap_or(PAGE_ITEMS_DEFAULT);
    if !(1..=PAGE_ITEMS_MAX).contains(&limit) {
        return Err(super::page_error(&PageError::Size { max: PAGE_ITEMS_MAX }, "MaxResults"));
    }
    let after = Cursor::from_token(next_token).map_err(|error| super::page_error(&error, "NextToken"))?;
    let skip = after.map_or(0, |cursor| cursor.key.max(0));
    let total = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let end = skip.saturating_add(limit);
    let next = (end < total).then(|| Cursor { key: end, id: String::new() }.to_token());
    let (skip, limit) = (usize::try_from(skip).unwrap_or(0), usize::try_from(limit).unwrap_or(0));
    Ok((items.into_iter().skip(skip).take(limit).collect(), next))
}
