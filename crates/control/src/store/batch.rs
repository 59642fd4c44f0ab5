//! Inserting many rows with few statements.

use super::{StoreError, Tx, Value};

/// Rows in one statement at the most.
const ROWS_MAX: usize = 500;
/// Bound parameters in one statement at the most: SQLite takes 32,766, PostgreSQL 65,535.
const PARAMS_MAX: usize = 30_000;

impl Tx {
    /// Inserts rows of `columns` into `table`; each row has a value per column. Names are ours, values are bound.
    pub(crate) async fn insert_many(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<Vec<Value>>,
    ) -> Result<(), StoreError> {
        let per_statement = ROWS_MAX.min(PARAMS_MAX / columns.len().max(1)).max(1);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk: Vec<Vec<Value>> = rows.by_ref().take(per_statement).collect();
            let sql = insert_text(table, columns, chunk.len(), self.is_postgres());
            self.execute(sql, chunk.into_iter().flatten().collect()).await?;
        }
        Ok(())
    }
}

/// PostgreSQL wants its parameters numbered. SQLite takes `$1` for a name, and looks each name up among all before it:
/// quadratic, and with ten thousand of them most of the time.
fn insert_text(table: &str, columns: &[&str], rows: usize, numbered: bool) -> String {
    let width = columns.len();
    let mark = |at: usize| if numbered { format!("${at}") } else { "?".to_owned() };
    let tuples: Vec<String> = (0..rows)
        .map(|row| {
            let marks: Vec<String> = (1..=width).map(|column| mark(row * width + column)).collect();
            format!("({})", marks.join(", "))
        })
        .collect();
    format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), tuples.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through() {
        assert_eq!(insert_text("t", &["a", "b"], 2, true), "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)");
        assert_eq!(insert_text("t", &["a", "b"], 2, false), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
    }
}
