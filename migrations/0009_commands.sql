-- Commands: scripts that RunCommand, or CreateDesktops for the first start, has run in runtimes. What becomes of one in
-- each runtime is an invocation; the counters here are its sums, so that a list can be filtered by status.
CREATE TABLE command (
    id            TEXT PRIMARY KEY,
    account_id    TEXT NOT NULL,
    -- RunShellScript
    kind          TEXT NOT NULL,
    content       TEXT NOT NULL,
    timeout_ms    BIGINT NOT NULL,
    end_user_id   TEXT,
    -- Classic or JvsClaw
    scenario      TEXT NOT NULL,
    -- Pending, Running, Success, Failed, PartialFailed
    status        TEXT NOT NULL,
    unfinished    BIGINT NOT NULL,
    succeeded     BIGINT NOT NULL,
    failed        BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX command_account ON command (account_id, created_at_ms, id);
CREATE INDEX command_status ON command (account_id, status, created_at_ms, id);
CREATE INDEX command_user ON command (account_id, end_user_id, created_at_ms, id);
CREATE INDEX command_kind ON command (account_id, kind, created_at_ms, id);

-- Set for a command's invocation, whose session_key and message are then empty.
ALTER TABLE invocation ADD COLUMN command_id TEXT REFERENCES command (id);
-- Where it stands among the commands of a first start, which run one after the other; null for every other.
ALTER TABLE invocation ADD COLUMN first_start_step BIGINT;
ALTER TABLE invocation ADD COLUMN exit_code BIGINT;
-- Base64 of the end of what it wrote, and how many bytes came before.
ALTER TABLE invocation ADD COLUMN output TEXT;
ALTER TABLE invocation ADD COLUMN output_dropped BIGINT;
-- The API's ErrorCode of a failed one.
ALTER TABLE invocation ADD COLUMN error_code TEXT;
CREATE INDEX invocation_command ON invocation (command_id, runtime_id, id);
CREATE INDEX invocation_runtime_command ON invocation (runtime_id, command_id);
CREATE INDEX invocation_message ON invocation (account_id, created_at_ms, id) WHERE command_id IS NULL;
-- What has to be failed when its time is over.
CREATE INDEX invocation_open ON invocation (deadline_ms, id) WHERE status IN ('Pending', 'Running');

-- Host names are unique in an office site, as in the provider's domains. Only those of Windows runtimes can be chosen;
-- the others are ids.
CREATE UNIQUE INDEX runtime_host_name ON runtime (office_site_id, LOWER(host_name))
    WHERE deleted_at_ms IS NULL AND os_type = 'Windows';
