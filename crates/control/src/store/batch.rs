//! Many values in few statements, whose texts recur: a database prepares each text once, and for statements as long as
//! these that is most of the work. So lists are padded, and rows cut, to powers of two.

use super::{StoreError, Tx, Value};

/// Rows in one statement at the most: SQLite's prepared statements stay in this process's memory.
const ROWS_MAX_SQLITE: usize = 256;
const ROWS_MAX_POSTGRES: usize = 512;
/// Bound parameters in one statement at the most: PostgreSQL takes 65,535.
const PARAMS_MAX: usize = 30_000;

impl Tx {
    /// Inserts rows of `columns` into `table`; each row has a value per column. Names are ours, values are bound.
    pub(crate) async fn insert_many(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<impl IntoIterator<Item = Value> + Send>,
    ) -> Result<(), StoreError> {
        let rows_max = if self.is_postgres() { ROWS_MAX_POSTGRES } else { ROWS_MAX_SQLITE };
        let rows_max = rows_max.min(PARAMS_MAX / columns.len().max(1));
        let mut rows = rows.into_iter();
        while let Some(count) = portion(rows.len(), rows_max) {
            let sql = insert_text(table, columns, count, self.is_postgres());
            let mut values = Vec::with_capacity(count * columns.len());
            values.extend(rows.by_ref().take(count).flatten());
            self.execute(sql, values).await?;
        }
        Ok(())
    }
}

/// How many of what is left go into the next statement: the largest power of two; `None` where nothing is left.
pub(super) fn portion(left: usize, max: usize) -> Option<usize> {
    left.min(max.max(1)).checked_ilog2().map(|power| 1 << power)
}

/// Values for a list that repeats its last one until there are a power of two of them, which changes nothing for `IN`.
pub(super) fn padded<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Vec<Value> {
    let count = texts.len().next_power_of_two();
    let mut values: Vec<Value> = texts.map(Value::from).collect();
    if let Some(last) = values.last().cloned() {
        values.resize(count, last);
    }
    values
}

/// PostgreSQL wants its parameters numbered. SQLite takes `$1` for a name, and looks each name up among all before it:
/// quadratic, and with ten thousand of them most of the time. And SQLite copies each page that a statement changes, so as to
/// undo the statement alone, if not told that whoever sees it fail rolls all back: a sixth of what rows cost. PostgreSQL lets
/// nobody go on.
fn insert_text(table: &str, columns: &[&str], rows: usize, numbered: bool) -> String {
    let width = columns.len();
    let tuple = |row: usize| {
        let marks: Vec<String> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
        format!("({})", marks.join(", "))
    };
    let tuples = if numbered {
        (0..rows).map(tuple).collect()
    } else {
        vec![format!("({})", vec!["?"; width].join(", ")); rows]
    };
    let insert = if numbered { "INSERT" } else { "INSERT OR FAIL" };
    format!("{insert} INTO {table} ({}) VALUES {}", columns.join(", "), tuples.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_and_lists_padded_to_powers_of_two() {
        let cut = |mut left: usize| {
            let mut portions = Vec::new();
            while let Some(count) = portion(left, 100) {
                portions.push(count);
                left -= count;
            }
            portions
        };
        assert_eq!(cut(0), [0; 0]);
        assert_eq!(cut(205), [64, 64, 64, 8, 4, 1]);
        let texts = ["a", "b", "c"];
        let padded_of = |count: usize| padded(texts.iter().copied().take(count));
        assert_eq!(padded_of(0), []);
        assert_eq!(padded_of(1), [Value::from("a")]);
        assert_eq!(padded_of(3), ["a", "b", "c", "c"].map(Value::from));
    }

    #[test]
    fn parameters_are_numbered_through() {
        assert_eq!(insert_text("t", &["a", "b"], 2, true), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(
            insert_text("t", &["a", "b"], 2, false),
            "INSERT OR FAIL INTO t (a, b) VALUES (?, ?), (?, ?)"
        );
    }
}
