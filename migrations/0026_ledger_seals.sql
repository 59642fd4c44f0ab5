-- What makes tampering with entries show, as in the audit log.

-- Marks a row as written by Creel: a keyed hash of its columns. Empty in rows from before this column.
ALTER TABLE ledger_entry ADD COLUMN tag TEXT NOT NULL DEFAULT '';
-- The sealed batch that the row is in; null until it is sealed.
ALTER TABLE ledger_entry ADD COLUMN batch BIGINT;
CREATE INDEX ledger_entry_batch ON ledger_entry (batch, created_at_ms, id);
CREATE TABLE ledger_seal (
    batch       BIGINT PRIMARY KEY,
    record_json TEXT NOT NULL
);
