-- What of credit packs is sold, who ordered what, and what happens when a pack is used up. Amounts are millionths.

-- The operator's price list: what one pack costs that lasts this long.
CREATE TABLE credit_offer (
    credit_micros BIGINT NOT NULL CHECK (credit_micros > 0),
    period        BIGINT NOT NULL CHECK (period BETWEEN 1 AND 6),
    period_unit   TEXT NOT NULL CHECK (period_unit IN ('Month', 'Year')),
    price_micros  BIGINT NOT NULL CHECK (price_micros >= 0),
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (credit_micros, period, period_unit)
);

CREATE TABLE credit_order (
    -- Milliseconds since the epoch and eleven random bits: below 2^53, so that every client holds it exactly.
    id               BIGINT PRIMARY KEY,
    account_id       TEXT NOT NULL,
    -- Who ordered, as the audit log names it.
    principal        TEXT NOT NULL,
    credit_micros    BIGINT NOT NULL,
    packs            BIGINT NOT NULL CHECK (packs > 0),
    period           BIGINT NOT NULL,
    period_unit      TEXT NOT NULL,
    -- What all packs cost by the price list of that moment.
    price_micros     BIGINT NOT NULL,
    currency         TEXT NOT NULL,
    -- The runtimes that get a pack of their own each, as a JSON array; empty: the packs are the account's.
    runtime_ids_json TEXT NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('Pending', 'Granted', 'Denied')),
    -- Why it was denied; empty otherwise.
    reason           TEXT NOT NULL,
    created_at_ms    BIGINT NOT NULL,
    decided_at_ms    BIGINT
);
CREATE INDEX credit_order_account ON credit_order (account_id, id);
CREATE INDEX credit_order_pending ON credit_order (account_id, id) WHERE status = 'Pending';

ALTER TABLE credit_pack ADD COLUMN order_id BIGINT;
CREATE INDEX credit_pack_order ON credit_pack (order_id, id) WHERE order_id IS NOT NULL;

-- The PackageUsedUpStrategy; null: calls are refused, and nothing else happens.
ALTER TABLE credit_pack ADD COLUMN used_up_strategy TEXT
    CHECK (used_up_strategy IN ('Postpaid', 'Shutdown', 'Maintenance'));
-- When its runtimes were stopped because it was used up.
ALTER TABLE credit_pack ADD COLUMN used_up_at_ms BIGINT;
CREATE INDEX credit_pack_used_up ON credit_pack (id)
    WHERE used_up_strategy IN ('Shutdown', 'Maintenance') AND used_up_at_ms IS NULL;

-- 1: what no pack paid, because the strategy of a used up one is Postpaid.
ALTER TABLE ledger_entry ADD COLUMN postpaid BIGINT NOT NULL DEFAULT 0 CHECK (postpaid IN (0, 1));
