-- What an audit row tells beyond who and what: how it was decided, how it ended, and where the call came from.

-- The API version; empty for the operator's commands.
ALTER TABLE audit ADD COLUMN version TEXT NOT NULL DEFAULT '';
-- Whose key it was; the column actor holds the key.
ALTER TABLE audit ADD COLUMN principal TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN decision TEXT NOT NULL DEFAULT 'Allowed' CHECK (decision IN ('Allowed', 'Denied'));
ALTER TABLE audit ADD COLUMN outcome TEXT NOT NULL DEFAULT 'Success' CHECK (outcome IN ('Success', 'Failure'));
-- The error code that the caller got; empty after a success.
ALTER TABLE audit ADD COLUMN code TEXT NOT NULL DEFAULT '';
-- More than one where a row stands for several refused calls.
ALTER TABLE audit ADD COLUMN calls BIGINT NOT NULL DEFAULT 1 CHECK (calls >= 1);
ALTER TABLE audit ADD COLUMN source_address TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';

UPDATE audit SET principal = CASE actor WHEN 'operator' THEN 'operator' ELSE 'account:' || account_id END;
