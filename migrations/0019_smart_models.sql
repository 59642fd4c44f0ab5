-- Models that stand for others: each call goes to the one that its size, and the order of the routes, lead to.

-- In which order the routes of a smart model are tried; null for a model of the provider's own.
ALTER TABLE system_model ADD COLUMN route_order TEXT CHECK (route_order IN ('declared', 'price'));

CREATE TABLE system_route (
    provider_name      TEXT NOT NULL,
    model_code         TEXT NOT NULL,
    position           BIGINT NOT NULL,
    to_provider_name   TEXT NOT NULL,
    to_model_code      TEXT NOT NULL,
    -- Tokens of the largest request that goes there; null where the model's own context is the only bound.
    context_tokens_max BIGINT CHECK (context_tokens_max > 0),
    PRIMARY KEY (provider_name, model_code, position),
    FOREIGN KEY (provider_name, model_code) REFERENCES system_model (provider_name, code)
);
