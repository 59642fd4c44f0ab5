-- Several addresses and keys of each of the operator's providers, so that one can fail or go without a call noticing.

-- 1 once somebody edited the provider here: then the configuration has no say any more.
ALTER TABLE system_provider ADD COLUMN edited BIGINT NOT NULL DEFAULT 0 CHECK (edited IN (0, 1));

CREATE TABLE system_endpoint (
    provider_name TEXT NOT NULL REFERENCES system_provider (name),
    base_url      TEXT NOT NULL,
    -- Share of the calls, relative to the others.
    weight        BIGINT NOT NULL CHECK (weight > 0),
    position      BIGINT NOT NULL,
    PRIMARY KEY (provider_name, base_url)
);

CREATE TABLE system_key (
    provider_name TEXT NOT NULL REFERENCES system_provider (name),
    name          TEXT NOT NULL,
    key_sealed    TEXT NOT NULL,
    -- The only address that takes the key; null where each does.
    base_url      TEXT,
    weight        BIGINT NOT NULL CHECK (weight > 0),
    enabled       BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (provider_name, name),
    FOREIGN KEY (provider_name, base_url) REFERENCES system_endpoint (provider_name, base_url)
);

INSERT INTO system_endpoint (provider_name, base_url, weight, position)
    SELECT name, base_url, 1, 0 FROM system_provider;
INSERT INTO system_key (provider_name, name, key_sealed, base_url, weight, enabled, created_at_ms)
    SELECT name, 'config', api_key_sealed, NULL, 1, 1, updated_at_ms
    FROM system_provider WHERE api_key_sealed IS NOT NULL;

ALTER TABLE system_provider DROP COLUMN base_url;
ALTER TABLE system_provider DROP COLUMN api_key_sealed;
