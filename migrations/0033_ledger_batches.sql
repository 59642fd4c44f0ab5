-- What an index costs is paid by every entry: a sealed batch's entries are found by the ids that its signed record has.
DROP INDEX ledger_entry_batch;
