-- Who may call the API for an account: its root, its users, and programs that act for one end user.
CREATE TABLE principal (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL REFERENCES account (id),
    kind          TEXT NOT NULL CHECK (kind IN ('Root', 'User', 'EndUser')),
    name          TEXT NOT NULL,
    description   TEXT NOT NULL,
    -- Of kind EndUser, and null else.
    end_user_id   TEXT,
    active        BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at_ms BIGINT NOT NULL,
    UNIQUE (account_id, name),
    CHECK ((kind = 'EndUser') = (end_user_id IS NOT NULL))
);
CREATE INDEX principal_account ON principal (account_id, created_at_ms, id);
CREATE INDEX principal_end_user ON principal (account_id, end_user_id, created_at_ms, id);

-- Keys of before belong to their account's root, whose id is made of the account's.
INSERT INTO principal (id, account_id, kind, name, description, active, created_at_ms)
    SELECT 'prn-' || id, id, 'Root', 'root', '', 1, created_at_ms FROM account;

-- Null only in a row that a server of the version before writes beside this one: the root's.
ALTER TABLE access_key ADD COLUMN principal_id TEXT REFERENCES principal (id);
UPDATE access_key SET principal_id = 'prn-' || account_id;
CREATE INDEX access_key_principal ON access_key (principal_id, id);
-- Written at most once a minute for each key; null before the first use.
ALTER TABLE access_key ADD COLUMN last_used_at_ms BIGINT;

CREATE TABLE policy (
    account_id    TEXT NOT NULL REFERENCES account (id),
    name          TEXT NOT NULL,
    description   TEXT NOT NULL,
    document_json TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);
CREATE INDEX policy_account ON policy (account_id, created_at_ms, name);

-- The name of a policy of the account or of a system policy, which has no row: hence no foreign key. A policy that is
-- attached is not deleted.
CREATE TABLE policy_attachment (
    principal_id   TEXT NOT NULL REFERENCES principal (id),
    policy_name    TEXT NOT NULL,
    account_id     TEXT NOT NULL,
    attached_at_ms BIGINT NOT NULL,
    PRIMARY KEY (principal_id, policy_name)
);
CREATE INDEX policy_attachment_policy ON policy_attachment (account_id, policy_name, principal_id);
