-- Skills: what was uploaded, which versions there are, who may have them, and what agents were seen to have.

CREATE TABLE skill (
    id              TEXT PRIMARY KEY,
    account_id      TEXT NOT NULL REFERENCES account (id),
    -- As in its front matter; the folder on agents.
    slug            TEXT NOT NULL,
    channel         TEXT NOT NULL CHECK (channel IN ('ENTERPRISE', 'BUSINESS')),
    display_name    TEXT NOT NULL,
    description     TEXT NOT NULL,
    -- Who made it, as the audit log names it.
    author          TEXT NOT NULL,
    enabled         BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    -- A JSON map, sealed; null: none.
    env_sealed      TEXT,
    api_key_sealed  TEXT,
    -- Key of an icon among the objects.
    icon            TEXT,
    -- The version that an administrator chose; null: the newest that is published.
    pinned_version  TEXT,
    -- The version that agents get; null while none is published. Follows from the versions and the pin: kept, because
    -- the order of semantic versions cannot be said in SQL.
    current_version TEXT,
    created_at_ms   BIGINT NOT NULL,
    UNIQUE (account_id, slug)
);
CREATE INDEX skill_list ON skill (account_id, channel, created_at_ms, id);

-- A version never changes but in what is found out and decided about it.
CREATE TABLE skill_version (
    skill_id         TEXT NOT NULL REFERENCES skill (id),
    account_id       TEXT NOT NULL,
    version          TEXT NOT NULL,
    content_hash     TEXT NOT NULL,
    content_bytes    BIGINT NOT NULL,
    -- Its front matter, as JSON.
    manifest_json    TEXT NOT NULL,
    change_log       TEXT NOT NULL,
    publish_status   TEXT NOT NULL CHECK (publish_status IN ('DRAFT', 'PUBLISHED', 'WITHDRAWN')),
    scan_status      TEXT NOT NULL CHECK (scan_status IN ('SCANNING', 'PASSED', 'REVIEW', 'REJECTED', 'INCOMPLETE')),
    scan_score       BIGINT,
    -- Why it did not pass, in words.
    scan_reason      TEXT NOT NULL,
    -- The newest report, as JSON; null before the first.
    report_json      TEXT,
    -- The rules that the newest report was made by: others mean another scan.
    scan_rules       TEXT NOT NULL,
    scanned_at_ms    BIGINT,
    -- Until then a process scans it.
    scan_until_ms    BIGINT NOT NULL,
    scan_attempts    BIGINT NOT NULL,
    -- Who decided about it, what, why, and the findings that were accepted, as a JSON array.
    decided_by       TEXT,
    decision         TEXT CHECK (decision IN ('APPROVED', 'REJECTED')),
    decision_reason  TEXT,
    accepted_json    TEXT,
    decided_at_ms    BIGINT,
    -- Where it comes from: who uploaded it, from which address, in which package, from which source.
    uploaded_by      TEXT NOT NULL,
    uploaded_from    TEXT NOT NULL,
    package_hash     TEXT NOT NULL,
    source           TEXT NOT NULL,
    created_at_ms    BIGINT NOT NULL,
    PRIMARY KEY (skill_id, version)
);
-- Small beside the rows with their reports, and holds all that is asked for each second.
CREATE INDEX skill_version_scan ON skill_version (publish_status, scan_rules, scan_until_ms, skill_id, version);
CREATE INDEX skill_version_content ON skill_version (content_hash);

-- Packages that were uploaded to become versions. Rows go a day after they were made.
CREATE TABLE skill_package (
    task_key       TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL REFERENCES account (id),
    object_key     TEXT NOT NULL,
    object_etag    TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('PARSING_METADATA', 'COMPLETED', 'FAILED')),
    error_code     TEXT NOT NULL,
    error_message  TEXT NOT NULL,
    manifest_json  TEXT,
    content_hash   TEXT,
    content_bytes  BIGINT NOT NULL,
    package_hash   TEXT NOT NULL,
    uploaded_by    TEXT NOT NULL,
    uploaded_from  TEXT NOT NULL,
    created_at_ms  BIGINT NOT NULL,
    -- Until then a process parses it.
    parse_until_ms BIGINT NOT NULL,
    attempts       BIGINT NOT NULL
);
CREATE INDEX skill_package_waiting ON skill_package (parse_until_ms) WHERE status = 'PARSING_METADATA';
CREATE INDEX skill_package_age ON skill_package (created_at_ms);
CREATE INDEX skill_package_account ON skill_package (account_id, status);

-- Who may have a skill: a runtime, the runtimes of a resource group, or those that a user is entitled to.
CREATE TABLE skill_auth (
    skill_id       TEXT NOT NULL REFERENCES skill (id),
    identity_kind  TEXT NOT NULL CHECK (identity_kind IN ('Runtime', 'ResourceGroup', 'User')),
    identity_id    TEXT NOT NULL,
    account_id     TEXT NOT NULL,
    auto_install   BIGINT NOT NULL CHECK (auto_install IN (0, 1)),
    created_at_ms  BIGINT NOT NULL,
    PRIMARY KEY (skill_id, identity_kind, identity_id)
);
CREATE INDEX skill_auth_list ON skill_auth (skill_id, created_at_ms, identity_kind, identity_id);
CREATE INDEX skill_auth_identity ON skill_auth (account_id, identity_kind, identity_id);

-- Runtimes on which only authorised skills may be.
CREATE TABLE skill_security (
    account_id    TEXT NOT NULL,
    runtime_id    TEXT NOT NULL REFERENCES runtime (id),
    channel       TEXT NOT NULL CHECK (channel IN ('ENTERPRISE', 'BUSINESS')),
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (runtime_id)
);
CREATE INDEX skill_security_list ON skill_security (account_id, channel, created_at_ms, runtime_id);

-- What an account does about findings and drift; no row: the defaults.
CREATE TABLE skill_policy (
    account_id      TEXT PRIMARY KEY REFERENCES account (id),
    block_severity  TEXT NOT NULL,
    review_severity TEXT NOT NULL,
    drift           TEXT NOT NULL CHECK (drift IN ('OBSERVE', 'WARN', 'RESTORE')),
    -- 1: whoever uploaded a version may not approve it.
    four_eyes       BIGINT NOT NULL CHECK (four_eyes IN (0, 1)),
    -- From where versions may come, as a JSON array; empty: from anywhere.
    sources_json    TEXT NOT NULL,
    updated_at_ms   BIGINT NOT NULL
);

-- Skills as guests last saw them.
CREATE TABLE runtime_skill (
    runtime_id     TEXT NOT NULL REFERENCES runtime (id),
    place          TEXT NOT NULL,
    name           TEXT NOT NULL,
    account_id     TEXT NOT NULL,
    content_hash   TEXT,
    state          TEXT NOT NULL,
    note           TEXT,
    observed_at_ms BIGINT NOT NULL,
    PRIMARY KEY (runtime_id, place, name)
);
CREATE INDEX runtime_skill_drift ON runtime_skill (account_id, runtime_id)
    WHERE state IN ('Modified', 'Foreign', 'Shadowing');

-- Grows with every change of an account's skills, so that agents follow.
ALTER TABLE account ADD COLUMN skill_revision BIGINT NOT NULL DEFAULT 0;
