-- A deleted runtime uses no model group, so that the group can be deleted.
UPDATE runtime SET model_group_id = NULL WHERE deleted_at_ms IS NOT NULL AND model_group_id IS NOT NULL;

-- Chat channels of agents, as they are wished.
CREATE TABLE runtime_channel (
    runtime_id    TEXT NOT NULL REFERENCES runtime (id),
    -- dingtalk-connector, wechat, feishu, qqbot, wecom
    code          TEXT NOT NULL,
    account_id    TEXT NOT NULL,
    name          TEXT NOT NULL,
    -- Simple, Custom
    config_mode   TEXT NOT NULL,
    -- JSON as the caller wrote it.
    config_sealed TEXT NOT NULL,
    -- Which bot the configuration names; null where it names none. One bot serves one runtime.
    bot_id        TEXT,
    updated_at_ms BIGINT NOT NULL,
    PRIMARY KEY (runtime_id, code),
    UNIQUE (account_id, code, bot_id)
);
CREATE INDEX runtime_channel_account ON runtime_channel (account_id, runtime_id, code);
