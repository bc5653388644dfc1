-- By which request a replay was asked for, where that had an idempotency key: a hash of who asked and of the key, and one of what was
-- asked for. Whoever asks twice is answered with the first.
ALTER TABLE replays ADD COLUMN request_key TEXT;
ALTER TABLE replays ADD COLUMN request_digest TEXT;
CREATE UNIQUE INDEX replays_by_request ON replays (request_key) WHERE request_key IS NOT NULL;
