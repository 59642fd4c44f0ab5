-- What was given for a skill together with a version of it. It waits here while agents do not get that version; from when they
-- do it is the skill's, and null here. Null: nothing waits.
ALTER TABLE skill_version ADD COLUMN pending_channel TEXT CHECK (pending_channel IN ('ENTERPRISE', 'BUSINESS'));
ALTER TABLE skill_version ADD COLUMN pending_display_name TEXT;
ALTER TABLE skill_version ADD COLUMN pending_description TEXT;
ALTER TABLE skill_version ADD COLUMN pending_icon TEXT;
-- Sealed as the skill's own are.
ALTER TABLE skill_version ADD COLUMN pending_env_sealed TEXT;
ALTER TABLE skill_version ADD COLUMN pending_api_key_sealed TEXT;
