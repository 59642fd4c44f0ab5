-- Quotas of resource groups beside those of agents, with a cycle; what was told when one came near its end.

CREATE TABLE credit_quota (
    -- A runtime or a resource group.
    subject_id    TEXT PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('agent', 'group')),
    account_id    TEXT NOT NULL,
    -- What it may spend in a cycle; null is no limit of its own.
    quota_micros  BIGINT CHECK (quota_micros >= 0),
    cycle         TEXT NOT NULL CHECK (cycle IN ('Day', 'Week', 'Month')),
    warn_percent  BIGINT NOT NULL CHECK (warn_percent BETWEEN 0 AND 100),
    updated_at_ms BIGINT NOT NULL
);
INSERT INTO credit_quota (subject_id, kind, account_id, quota_micros, cycle, warn_percent, updated_at_ms)
    SELECT runtime_id, 'agent', account_id, quota_micros, 'Month', warn_percent, updated_at_ms FROM agent_quota;
DROP TABLE agent_quota;
CREATE INDEX credit_quota_account ON credit_quota (account_id, kind, subject_id);

-- At which part of its packs an account is told.
ALTER TABLE ledger_account ADD COLUMN warn_percent BIGINT NOT NULL DEFAULT 80 CHECK (warn_percent BETWEEN 0 AND 100);

-- The resource group that the runtime was in when the call began, and the user that it had when the call was entered,
-- if it had exactly one. Both null in entries of before.
ALTER TABLE ledger_entry ADD COLUMN resource_group_id TEXT;
ALTER TABLE ledger_entry ADD COLUMN end_user_id TEXT;

-- One row for each crossing, written in the transaction that crosses.
CREATE TABLE credit_alert (
    -- What it is about, the first hour of the cycle and the quota: no crossing is told twice.
    id                 TEXT PRIMARY KEY,
    kind               TEXT NOT NULL CHECK (kind IN ('agent', 'group', 'pack', 'account')),
    subject_id         TEXT NOT NULL,
    account_id         TEXT NOT NULL,
    quota_micros       BIGINT NOT NULL,
    warn_percent       BIGINT NOT NULL,
    -- At the crossing.
    used_micros        BIGINT NOT NULL,
    created_at_ms      BIGINT NOT NULL,
    attempts           BIGINT NOT NULL,
    -- Null: delivered, or given up.
    next_attempt_at_ms BIGINT,
    delivered_at_ms    BIGINT
);
CREATE INDEX credit_alert_subject ON credit_alert (subject_id, created_at_ms);
CREATE INDEX credit_alert_due ON credit_alert (next_attempt_at_ms, id) WHERE next_attempt_at_ms IS NOT NULL;
