-- The people that runtimes are given to. An account names them itself.
CREATE TABLE end_user (
    account_id        TEXT NOT NULL,
    end_user_id       TEXT NOT NULL,
    email             TEXT,
    phone             TEXT,
    nick_name         TEXT,
    remark            TEXT,
    -- CreateFromManager, Normal
    owner_type        TEXT NOT NULL,
    is_local_admin    BIGINT NOT NULL CHECK (is_local_admin IN (0, 1)),
    -- From then on the user is locked and sees nothing.
    locked_from_ms    BIGINT,
    created_at_ms     BIGINT NOT NULL,
    PRIMARY KEY (account_id, end_user_id)
);

-- Until now anybody could be named as a runtime's user, and nothing followed from it. Whoever has a proper name becomes
-- a user; other names end, since nobody could ever act under them.
INSERT INTO end_user (account_id, end_user_id, owner_type, is_local_admin, created_at_ms)
    SELECT u.account_id, u.end_user_id, 'CreateFromManager', 0, MIN(r.created_at_ms)
    FROM runtime_user u JOIN runtime r ON r.id = u.runtime_id
    WHERE LENGTH(u.end_user_id) BETWEEN 3 AND 24 AND u.end_user_id = LOWER(u.end_user_id)
      AND u.end_user_id NOT LIKE '%-%' AND u.end_user_id NOT LIKE '%.%' AND u.end_user_id NOT LIKE '%@%'
    GROUP BY u.account_id, u.end_user_id;
DELETE FROM runtime_user WHERE NOT EXISTS (
    SELECT 1 FROM end_user e
    WHERE e.account_id = runtime_user.account_id AND e.end_user_id = runtime_user.end_user_id);

CREATE TABLE resource_group (
    id             TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL,
    name           TEXT NOT NULL,
    -- Wins over the model group of each runtime in it; null where there is none.
    model_group_id TEXT REFERENCES model_group (id),
    created_at_ms  BIGINT NOT NULL,
    UNIQUE (account_id, name)
);
CREATE INDEX resource_group_account ON resource_group (account_id, created_at_ms, id);
CREATE INDEX resource_group_model_group ON resource_group (model_group_id, id);
CREATE INDEX resource_group_runtime ON runtime (resource_group_id, id);

-- User lists that BatchModifyEntitlement has promised and the reconciler has yet to put in place of those that stand:
-- a row for each runtime, and one for each of its new users.
CREATE TABLE runtime_assignment (
    runtime_id    TEXT PRIMARY KEY REFERENCES runtime (id),
    account_id    TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE TABLE runtime_assignment_user (
    runtime_id  TEXT NOT NULL REFERENCES runtime_assignment (runtime_id),
    end_user_id TEXT NOT NULL,
    account_id  TEXT NOT NULL,
    PRIMARY KEY (runtime_id, end_user_id)
);
CREATE INDEX runtime_assignment_user_user ON runtime_assignment_user (account_id, end_user_id, runtime_id);

-- The end user who sent a message; null for an administrator.
ALTER TABLE invocation ADD COLUMN end_user_id TEXT;
CREATE INDEX invocation_user ON invocation (account_id, end_user_id, created_at_ms, id);
