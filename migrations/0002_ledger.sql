-- Credits. Amounts are whole micro-credits. Months are year * 100 + month (202601) and hours are hours since the
-- Unix epoch, both in UTC. Every sum is written in the transaction of the entries that it sums.

CREATE TABLE credit_pack (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    -- Null: every runtime of the account may spend it.
    runtime_id    TEXT,
    source        TEXT NOT NULL CHECK (source IN ('monthly', 'purchased', 'granted')),
    -- Of a monthly pack, the month it is for; one a runtime and month.
    month         BIGINT,
    total_micros  BIGINT NOT NULL CHECK (total_micros >= 0),
    used_micros   BIGINT NOT NULL CHECK (used_micros >= 0 AND used_micros <= total_micros),
    starts_at_ms  BIGINT NOT NULL,
    expires_at_ms BIGINT,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX credit_pack_account ON credit_pack (account_id, runtime_id, id);
CREATE UNIQUE INDEX credit_pack_month ON credit_pack (runtime_id, month);

-- What a runtime gets each month. Its pack of a month is made when that month's balance is first needed.
CREATE TABLE monthly_grant (
    runtime_id    TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    micros        BIGINT NOT NULL CHECK (micros >= 0),
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX monthly_grant_account ON monthly_grant (account_id, runtime_id);

CREATE TABLE agent_quota (
    runtime_id    TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    -- What the agent may spend in a calendar month; null is no limit of its own.
    quota_micros  BIGINT CHECK (quota_micros >= 0),
    warn_percent  BIGINT NOT NULL CHECK (warn_percent BETWEEN 0 AND 100),
    updated_at_ms BIGINT NOT NULL
);

-- Per account: whether priced calls to Managed and Custom providers take credits from packs too (1) or only count
-- against quotas (0); no row is 0. The version grows with every change of the account's packs, quotas and billing by
-- anyone but the engine, which so knows what to read again.
CREATE TABLE ledger_account (
    account_id TEXT PRIMARY KEY,
    bills_all  BIGINT NOT NULL CHECK (bills_all IN (0, 1)),
    version    BIGINT NOT NULL
);

-- Rows are inserted and never changed; a correction is a row of its own with a negative amount.
CREATE TABLE ledger_entry (
    -- The call's id, a slash and the part's number: unique, and the index by which a call's entries are found.
    id                  TEXT PRIMARY KEY,
    call_id             TEXT NOT NULL,
    part                BIGINT NOT NULL,
    account_id          TEXT NOT NULL,
    runtime_id          TEXT NOT NULL,
    provider_id         TEXT NOT NULL,
    provider_name       TEXT NOT NULL,
    model_code          TEXT NOT NULL,
    -- Null where no pack was touched: quota only, free, overrun.
    pack_id             TEXT,
    label               TEXT NOT NULL
        CHECK (label IN ('exact', 'estimated', 'overrun', 'unsettled', 'released', 'free')),
    -- Tokens, on the first part of a call only.
    input_tokens        BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    cache_write_tokens  BIGINT NOT NULL,
    output_tokens       BIGINT NOT NULL,
    reasoning_tokens    BIGINT NOT NULL,
    -- What was deducted, and what the call cost beyond that (overrun).
    micros              BIGINT NOT NULL,
    unbilled_micros     BIGINT NOT NULL,
    -- The rate card of the call as JSON; null if its model had no price.
    price_json          TEXT,
    -- The month whose quota it counts in, and the hour it is shown in.
    month               BIGINT NOT NULL,
    hour                BIGINT NOT NULL,
    created_at_ms       BIGINT NOT NULL
);
CREATE INDEX ledger_entry_runtime ON ledger_entry (runtime_id, created_at_ms, id);
CREATE INDEX ledger_entry_account ON ledger_entry (account_id, created_at_ms, id);

-- Lists of agents with their credits go by id.
CREATE INDEX runtime_account_id ON runtime (account_id, id);

-- Sums of entries: of each runtime and each account by month, of each runtime, account and pack by hour.
CREATE TABLE usage_month (
    subject_id  TEXT NOT NULL,
    month       BIGINT NOT NULL,
    used_micros BIGINT NOT NULL CHECK (used_micros >= 0),
    PRIMARY KEY (subject_id, month)
);
CREATE TABLE usage_hour (
    subject_id  TEXT NOT NULL,
    hour        BIGINT NOT NULL,
    used_micros BIGINT NOT NULL CHECK (used_micros >= 0),
    PRIMARY KEY (subject_id, hour)
);

-- Rate cards of Managed and Custom models, in micro-credits for 1,000 tokens; the newest that is in effect counts.
CREATE TABLE price (
    account_id          TEXT NOT NULL,
    provider_id         TEXT NOT NULL,
    model_code          TEXT NOT NULL,
    effective_from_ms   BIGINT NOT NULL,
    input_micros        BIGINT NOT NULL CHECK (input_micros >= 0),
    cached_input_micros BIGINT NOT NULL CHECK (cached_input_micros >= 0),
    cache_write_micros  BIGINT NOT NULL CHECK (cache_write_micros >= 0),
    output_micros       BIGINT NOT NULL CHECK (output_micros >= 0),
    multiplier_micros   BIGINT NOT NULL CHECK (multiplier_micros >= 0),
    PRIMARY KEY (account_id, provider_id, model_code, effective_from_ms)
);

-- Rate cards of the operator's system providers, seeded from the configuration at each start.
CREATE TABLE system_price (
    provider_name       TEXT NOT NULL,
    model_code          TEXT NOT NULL,
    input_micros        BIGINT NOT NULL CHECK (input_micros >= 0),
    cached_input_micros BIGINT NOT NULL CHECK (cached_input_micros >= 0),
    cache_write_micros  BIGINT NOT NULL CHECK (cache_write_micros >= 0),
    output_micros       BIGINT NOT NULL CHECK (output_micros >= 0),
    multiplier_micros   BIGINT NOT NULL CHECK (multiplier_micros >= 0),
    updated_at_ms       BIGINT NOT NULL,
    PRIMARY KEY (provider_name, model_code)
);

-- Who may write entries: one process at a time. The epoch grows with every owner and fences the one before.
CREATE TABLE ledger_owner (
    name           TEXT PRIMARY KEY,
    owner_id       TEXT NOT NULL,
    epoch          BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL
);

-- The engine's journal where it cannot be a local file. A call's records go when its entries are in.
CREATE TABLE ledger_journal (
    seq     BIGINT PRIMARY KEY,
    call_id TEXT NOT NULL,
    record  TEXT NOT NULL
);
CREATE INDEX ledger_journal_call ON ledger_journal (call_id, seq);
