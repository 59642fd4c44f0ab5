-- What is removed some time after its end is found by when that was.
CREATE INDEX invocation_finished ON invocation (finished_at_ms, id) WHERE finished_at_ms IS NOT NULL;
CREATE INDEX command_created ON command (created_at_ms, id) WHERE unfinished = 0;
CREATE INDEX idempotency_created ON idempotency (created_at_ms);
