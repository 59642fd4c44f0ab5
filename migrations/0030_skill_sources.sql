-- Skills from other Creels: `upload`, or `creel:` and the key that signed what was imported.
ALTER TABLE skill_package ADD COLUMN source TEXT NOT NULL DEFAULT 'upload';
-- What the other Creel said of it, as JSON; null for what was uploaded.
ALTER TABLE skill_package ADD COLUMN origin_json TEXT;
ALTER TABLE skill_version ADD COLUMN origin_json TEXT;
