DROP INDEX replays_by_request;
ALTER TABLE replays DROP COLUMN request_digest;
ALTER TABLE replays DROP COLUMN request_key;
