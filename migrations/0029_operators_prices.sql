-- Prices of the operator's models are versions with a beginning and a range, in the table of all others: their account is
-- empty and their provider a name. Those that were in force begin when they were set.
ALTER TABLE price RENAME COLUMN provider_id TO provider;
INSERT INTO price (account_id, provider, model_code, effective_from_ms, input_micros, cached_input_micros,
                   cache_write_micros, output_micros, multiplier_micros)
    SELECT '', provider_name, model_code, updated_at_ms, input_micros, cached_input_micros, cache_write_micros,
           output_micros, multiplier_micros
    FROM system_price;
DROP TABLE system_price;
