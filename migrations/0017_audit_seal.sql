-- What makes tampering with audit rows show, and what serves searches of them.

-- Marks a row as written by Creel: a keyed hash of its columns. Empty in rows from before this column.
ALTER TABLE audit ADD COLUMN tag TEXT NOT NULL DEFAULT '';
-- The sealed batch that the row is in; null until it is sealed.
ALTER TABLE audit ADD COLUMN batch BIGINT;

CREATE INDEX audit_batch ON audit (batch, at_ms, id);
CREATE INDEX audit_principal ON audit (account_id, principal, at_ms, id);
CREATE INDEX audit_key ON audit (account_id, actor, at_ms, id);
CREATE INDEX audit_action ON audit (account_id, action, at_ms, id);
CREATE INDEX audit_denied ON audit (account_id, at_ms, id) WHERE decision = 'Denied';

-- By which resource a row is found; written when the row is sealed.
CREATE TABLE audit_resource (
    audit_id   TEXT NOT NULL,
    resource   TEXT NOT NULL,
    account_id TEXT NOT NULL,
    at_ms      BIGINT NOT NULL,
    PRIMARY KEY (audit_id, resource)
);
CREATE INDEX audit_resource_resource ON audit_resource (account_id, resource, at_ms, audit_id);

-- The signed roots, as the roots file of each controller has them too. The file counts where the two differ.
CREATE TABLE audit_seal (
    batch       BIGINT PRIMARY KEY,
    record_json TEXT NOT NULL
);
