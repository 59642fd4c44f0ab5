-- Whose calls are captured with their content, for how many days, and how many bytes of a request and of an answer.
CREATE TABLE capture_policy (
    account_id     TEXT NOT NULL REFERENCES account (id),
    -- Lists are in its order: 0 the account, 1 a resource group, 2 a runtime.
    scope_rank     BIGINT NOT NULL,
    scope          TEXT NOT NULL,
    scope_id       TEXT NOT NULL,
    retention_days BIGINT NOT NULL CHECK (retention_days > 0),
    bytes_max      BIGINT NOT NULL CHECK (bytes_max > 0),
    updated_at_ms  BIGINT NOT NULL,
    PRIMARY KEY (account_id, scope_rank, scope_id)
);

CREATE TABLE captured_call (
    call_id        TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL,
    runtime_id     TEXT NOT NULL,
    model_code     TEXT NOT NULL,
    -- Of the bodies as they passed, and of what is kept of them.
    request_bytes  BIGINT NOT NULL,
    request_kept   BIGINT NOT NULL,
    answer_bytes   BIGINT NOT NULL,
    answer_kept    BIGINT NOT NULL,
    request_sealed TEXT NOT NULL,
    answer_sealed  TEXT NOT NULL,
    created_at_ms  BIGINT NOT NULL,
    expires_at_ms  BIGINT NOT NULL
);
CREATE INDEX captured_call_list ON captured_call (account_id, created_at_ms, call_id);
CREATE INDEX captured_call_runtime ON captured_call (runtime_id, created_at_ms, call_id);
CREATE INDEX captured_call_expiry ON captured_call (expires_at_ms);
