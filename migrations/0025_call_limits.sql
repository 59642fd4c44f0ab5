-- How much agents may ask of the gateway. What is null is not limited; a scope without limits has no row.
CREATE TABLE call_limit (
    account_id          TEXT NOT NULL REFERENCES account (id),
    -- Lists are in its order: 0 the account, 1 a resource group, 2 a runtime.
    scope_rank          BIGINT NOT NULL,
    scope               TEXT NOT NULL,
    scope_id            TEXT NOT NULL,
    requests_per_minute BIGINT,
    tokens_per_minute   BIGINT,
    concurrent_calls    BIGINT,
    output_tokens_max   BIGINT,
    updated_at_ms       BIGINT NOT NULL,
    PRIMARY KEY (account_id, scope_rank, scope_id)
);
