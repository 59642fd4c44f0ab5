-- What an index costs is paid by every entry. An account's and a runtime's entries of one millisecond are few, and sorted
-- as they are read; a month's are found by the account and the time since the month began.
DROP INDEX ledger_entry_runtime;
CREATE INDEX ledger_entry_runtime ON ledger_entry (runtime_id, created_at_ms);
DROP INDEX ledger_entry_account;
CREATE INDEX ledger_entry_account ON ledger_entry (account_id, created_at_ms);
DROP INDEX ledger_entry_month;

-- Entries that are sealed as they are inserted are never in the second.
DROP INDEX ledger_entry_batch;
CREATE INDEX ledger_entry_batch ON ledger_entry (batch) WHERE batch IS NOT NULL;
CREATE INDEX ledger_entry_unsealed ON ledger_entry (created_at_ms, id) WHERE batch IS NULL;
