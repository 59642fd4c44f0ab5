-- Lists at 100,000 runtimes in one account. What a list of runtimes can be filtered by is a column of an index over the
-- runtimes that are not deleted, behind it the order of the list. The last column is constant there: with it SQLite need
-- not look into the row to know that it is not deleted.
DROP INDEX runtime_account;
DROP INDEX runtime_office_site;
DROP INDEX runtime_name;
DROP INDEX runtime_power;
CREATE INDEX runtime_live ON runtime (account_id, created_at_ms, id, deleted_at_ms) WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_deleted ON runtime (account_id, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NOT NULL;
CREATE INDEX runtime_region ON runtime (account_id, region_id, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_office_site ON runtime (account_id, office_site_id, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_name ON runtime (account_id, name, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_sandbox ON runtime (account_id, sandbox, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_power ON runtime (account_id, power, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_agent_provider ON runtime (account_id, agent_provider, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_agent_platform ON runtime (account_id, agent_platform, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_image ON runtime (account_id, image_id, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_os_type ON runtime (account_id, os_type, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_desktop_type ON runtime (account_id, desktop_type, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_charge_type ON runtime (account_id, charge_type, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_resource_group ON runtime (account_id, resource_group_id, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;
CREATE INDEX runtime_bound_group ON runtime (account_id, model_group_id, created_at_ms, id, deleted_at_ms)
    WHERE deleted_at_ms IS NULL;

-- Users that are locked, or will be.
CREATE INDEX end_user_locked ON end_user (account_id, end_user_id) WHERE locked_from_ms IS NOT NULL;
