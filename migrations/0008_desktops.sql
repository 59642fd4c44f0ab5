-- An office site that was deleted keeps its row: runtimes that were deleted before it still name it.
ALTER TABLE office_site ADD COLUMN deleted_at_ms BIGINT;

-- Pages of ListTagResources.
CREATE UNIQUE INDEX runtime_tag_account ON runtime_tag (account_id, runtime_id, tag_key);

-- `power` may also be Hibernated, and Waking until a hibernated runtime runs again. Few runtimes are either, so that
-- a filter for them needs an index and one for all others does not.
CREATE INDEX runtime_power ON runtime (account_id, power, created_at_ms, id);
