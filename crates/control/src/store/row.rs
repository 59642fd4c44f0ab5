//! Parameters and rows: text and 64-bit integers only, the types that mean the same on both databases.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::StoreError;

/// A bound parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Option<String>),
    /// One that others have, too: not copied on its way to SQLite.
    Shared(Arc<str>),
    Int(Option<i64>),
}

/// Turns its arguments into a `Vec<Value>`: `params![id, now_ms, note.as_deref()]`.
#[macro_export]
macro_rules! store_params {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}
pub use crate::store_params as params;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Some(text))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Value::Text(Some(text.clone()))
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Value::Shared(text)
    }
}

impl From<Option<Arc<str>>> for Value {
    fn from(text: Option<Arc<str>>) -> Self {
        text.map_or(Value::Text(None), Value::Shared)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Value::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Value::Int(number)
    }
}

/// Flags are `BIGINT CHECK (x IN (0, 1))`: a BOOLEAN column cannot be read alike on both databases.
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Int(Some(i64::from(flag)))
    }
}

/// One row, read by column name.
#[derive(Debug)]
pub enum Row {
    Sqlite(Box<SqliteRow>),
    Postgres(Box<PgRow>),
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident -> $kind:ty) => {
        $(#[$doc])*
        pub fn $name(&self, column: &str) -> Result<$kind, StoreError> {
            match self {
                Row::Sqlite(row) => row.try_get(column),
                Row::Postgres(row) => row.try_get(column),
            }
            .map_err(|_| StoreError::Decode { column: column.to_owned() })
        }
    };
}

impl Row {
    getter!(
        /// A TEXT that is not null.
        text -> String
    );
    getter!(
        /// A TEXT or null.
        opt_text -> Option<String>
    );
    getter!(
        /// A BIGINT that is not null.
        int -> i64
    );
    getter!(
        /// A BIGINT or null.
        opt_int -> Option<i64>
    );

    /// A 0/1 BIGINT.
    pub fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    /// A TEXT that must parse, such as an id.
    pub fn parse<T: std::str::FromStr>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?
            .parse()
            .map_err(|_| StoreError::Corrupt { what: format!("column {column} does not parse") })
    }

    /// A TEXT or null that must parse when present.
    pub fn opt_parse<T: std::str::FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        match self.opt_text(column)? {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| StoreError::Corrupt { what: format!("column {column} does not parse") }),
        }
    }

    /// A TEXT of JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?)
            .map_err(|_| StoreError::Corrupt { what: format!("column {column} is not the expected JSON") })
    }
}
