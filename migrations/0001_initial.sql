-- Portable subset: TEXT and BIGINT only, flags 0/1, times in milliseconds since the Unix epoch, JSON as TEXT.
-- Every row belongs to an account; every list has an index whose last column is unique.

CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    created_at_ms BIGINT NOT NULL
);

-- The secret is needed in clear to check an HMAC, so it is sealed, not hashed.
CREATE TABLE access_key (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id),
    secret_sealed TEXT NOT NULL,
    active        BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX access_key_account ON access_key (account_id, id);

-- One row per call that changes something or reads a secret, in that call's transaction. The nonce makes a replay
-- of such a call impossible across restarts and replicas; nonces of reads are kept in memory.
CREATE TABLE audit (
    id             TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL,
    actor          TEXT NOT NULL,
    action         TEXT NOT NULL,
    resources_json TEXT NOT NULL,
    nonce          TEXT,
    at_ms          BIGINT NOT NULL
);
CREATE UNIQUE INDEX audit_nonce ON audit (actor, nonce);
CREATE INDEX audit_account ON audit (account_id, at_ms, id);

CREATE TABLE idempotency (
    account_id    TEXT NOT NULL,
    action        TEXT NOT NULL,
    client_token  TEXT NOT NULL,
    request_hash  TEXT NOT NULL,
    response_json TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (account_id, action, client_token)
);

CREATE TABLE office_site (
    id              TEXT PRIMARY KEY,
    account_id      TEXT NOT NULL,
    region_id       TEXT NOT NULL,
    name            TEXT NOT NULL,
    attributes_json TEXT NOT NULL,
    created_at_ms   BIGINT NOT NULL
);
CREATE INDEX office_site_account ON office_site (account_id, region_id, created_at_ms, id);

CREATE TABLE model_group (
    id               TEXT PRIMARY KEY,
    account_id       TEXT NOT NULL,
    name             TEXT NOT NULL,
    description      TEXT NOT NULL,
    agent_provider   TEXT NOT NULL,
    agent_platform   TEXT NOT NULL,
    biz_type         BIGINT NOT NULL,
    ref_scope        TEXT NOT NULL,
    source           TEXT NOT NULL,
    default_model_id TEXT,
    -- One more for each change of the group, its providers or its models; runtimes follow by comparison.
    revision         BIGINT NOT NULL,
    created_at_ms    BIGINT NOT NULL
);
CREATE INDEX model_group_account ON model_group (account_id, created_at_ms, id);

CREATE TABLE model_provider (
    id                   TEXT PRIMARY KEY,
    account_id           TEXT NOT NULL,
    group_id             TEXT NOT NULL REFERENCES model_group (id),
    provider_name        TEXT NOT NULL,
    name                 TEXT NOT NULL,
    description          TEXT NOT NULL,
    -- WuyingCredit, Managed, Custom
    provider_type        TEXT NOT NULL,
    -- The configuration without its key, as the caller wrote it.
    config_json          TEXT NOT NULL,
    api                  TEXT NOT NULL,
    base_url             TEXT NOT NULL,
    api_key_sealed       TEXT,
    proxied              BIGINT NOT NULL CHECK (proxied IN (0, 1)),
    -- Set for WuyingCredit: where address, key and prices come from.
    system_provider_name TEXT,
    created_at_ms        BIGINT NOT NULL,
    UNIQUE (group_id, provider_name)
);
CREATE INDEX model_provider_account ON model_provider (account_id, created_at_ms, id);

CREATE TABLE model (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    group_id      TEXT NOT NULL REFERENCES model_group (id),
    provider_id   TEXT NOT NULL REFERENCES model_provider (id),
    code          TEXT NOT NULL,
    name          TEXT NOT NULL,
    description   TEXT NOT NULL,
    config_json   TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    UNIQUE (provider_id, code)
);
CREATE INDEX model_group_models ON model (group_id, created_at_ms, id);
CREATE INDEX model_account ON model (account_id, created_at_ms, id);

-- The operator's providers, seeded from the configuration at each start.
CREATE TABLE system_provider (
    name           TEXT PRIMARY KEY,
    api            TEXT NOT NULL,
    base_url       TEXT NOT NULL,
    api_key_sealed TEXT,
    updated_at_ms  BIGINT NOT NULL
);

CREATE TABLE system_model (
    provider_name      TEXT NOT NULL REFERENCES system_provider (name),
    code               TEXT NOT NULL,
    name               TEXT NOT NULL,
    context_window     BIGINT,
    max_output_tokens  BIGINT,
    position           BIGINT NOT NULL,
    PRIMARY KEY (provider_name, code)
);

CREATE TABLE runtime (
    id                TEXT PRIMARY KEY,
    account_id        TEXT NOT NULL,
    region_id         TEXT NOT NULL,
    jvs_id            TEXT UNIQUE,
    name              TEXT NOT NULL,
    host_name         TEXT NOT NULL,
    office_site_id    TEXT NOT NULL REFERENCES office_site (id),
    image_id          TEXT NOT NULL,
    bundle_id         TEXT,
    desktop_type      TEXT NOT NULL,
    os_type           TEXT NOT NULL,
    agent_provider    TEXT NOT NULL,
    agent_platform    TEXT NOT NULL,
    charge_type       TEXT NOT NULL,
    resource_group_id TEXT,
    model_group_id    TEXT REFERENCES model_group (id),
    attributes_json   TEXT NOT NULL,
    -- The wish: Running or Stopped; deleted once deleted_at_ms is set.
    power             TEXT NOT NULL,
    boot_generation   BIGINT NOT NULL,
    -- Grows with every change of what the agent should be.
    generation        BIGINT NOT NULL,
    -- What the sandbox is, as reconciliation last saw or made it: Pending, Starting, Running, Stopping, Stopped.
    sandbox           TEXT NOT NULL,
    -- Why it is Pending, for people; empty otherwise.
    reason            TEXT NOT NULL,
    created_at_ms     BIGINT NOT NULL,
    started_at_ms     BIGINT,
    deleted_at_ms     BIGINT
);
CREATE INDEX runtime_account ON runtime (account_id, created_at_ms, id);
CREATE INDEX runtime_model_group ON runtime (model_group_id, id);
CREATE INDEX runtime_office_site ON runtime (account_id, office_site_id, created_at_ms, id);
CREATE INDEX runtime_name ON runtime (account_id, name, id);

CREATE TABLE runtime_user (
    runtime_id  TEXT NOT NULL REFERENCES runtime (id),
    end_user_id TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    PRIMARY KEY (runtime_id, end_user_id)
);
CREATE INDEX runtime_user_user ON runtime_user (account_id, end_user_id, runtime_id);

CREATE TABLE runtime_tag (
    runtime_id TEXT NOT NULL REFERENCES runtime (id),
    tag_key    TEXT NOT NULL,
    tag_value  TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (runtime_id, tag_key)
);
CREATE INDEX runtime_tag_tag ON runtime_tag (account_id, tag_key, tag_value, runtime_id);

-- What guests report, apart from the wish so that neither writer waits for the other.
CREATE TABLE runtime_observed (
    runtime_id          TEXT PRIMARY KEY REFERENCES runtime (id),
    account_id          TEXT NOT NULL,
    agent_status        TEXT NOT NULL,
    agent_version       TEXT,
    agent_starts        BIGINT NOT NULL,
    memory_limited      BIGINT NOT NULL CHECK (memory_limited IN (0, 1)),
    agent_error         TEXT,
    receipt_desired     BIGINT NOT NULL,
    receipt_observed    BIGINT NOT NULL,
    receipt_error       TEXT,
    -- The model group and revision that the observed generation held; empty before any.
    applied_models      TEXT NOT NULL,
    observed_at_ms      BIGINT NOT NULL
);
CREATE INDEX runtime_observed_status ON runtime_observed (account_id, agent_status, runtime_id);

CREATE TABLE guest (
    runtime_id        TEXT PRIMARY KEY REFERENCES runtime (id),
    enroll_token_hash TEXT,
    enroll_until_ms   BIGINT,
    public_key        TEXT,
    enrolled_at_ms    BIGINT,
    -- Grows with every link; a link with a smaller one is fenced off.
    epoch             BIGINT NOT NULL,
    -- The replica that holds the link; empty when none does.
    replica_id        TEXT NOT NULL
);
CREATE UNIQUE INDEX guest_token ON guest (enroll_token_hash);

-- A process that holds guest links. Its guests count as online while its lease lasts.
CREATE TABLE replica (
    id             TEXT PRIMARY KEY,
    lease_until_ms BIGINT NOT NULL
);

CREATE TABLE virtual_key (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    runtime_id    TEXT NOT NULL REFERENCES runtime (id),
    key_hash      TEXT NOT NULL UNIQUE,
    -- Agent (held by the agent itself) or Person (made by an administrator for another client).
    holder        TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);
CREATE INDEX virtual_key_runtime ON virtual_key (runtime_id, id);

CREATE TABLE invocation (
    id             TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL,
    runtime_id     TEXT NOT NULL REFERENCES runtime (id),
    session_key    TEXT NOT NULL,
    message        TEXT NOT NULL,
    -- Pending, Running, Succeeded, Failed
    status         TEXT NOT NULL,
    reply          TEXT,
    error_message  TEXT,
    created_at_ms  BIGINT NOT NULL,
    sent_at_ms     BIGINT,
    deadline_ms    BIGINT NOT NULL,
    finished_at_ms BIGINT
);
CREATE INDEX invocation_account ON invocation (account_id, created_at_ms, id);
CREATE INDEX invocation_runtime ON invocation (runtime_id, status, created_at_ms, id);

CREATE TABLE reconcile_queue (
    runtime_id     TEXT PRIMARY KEY,
    due_at_ms      BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    -- Changes with every wake-up, so that a pass that was overtaken does not delete the newer wish to look.
    wake_count     BIGINT NOT NULL,
    attempts       BIGINT NOT NULL
);
CREATE INDEX reconcile_queue_due ON reconcile_queue (due_at_ms, runtime_id);
