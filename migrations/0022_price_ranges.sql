-- The range that a model's multiplier stays in, in millionths; both null: it is fixed. A null maximum is no upper limit.
ALTER TABLE price ADD COLUMN multiplier_min_micros BIGINT CHECK (multiplier_min_micros >= 0);
ALTER TABLE price ADD COLUMN multiplier_max_micros BIGINT CHECK (multiplier_max_micros >= 0);

-- What a report of a month reads.
CREATE INDEX ledger_entry_month ON ledger_entry (month, account_id, id);
