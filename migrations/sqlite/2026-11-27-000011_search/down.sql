DROP INDEX endpoints_at_url;
DROP INDEX deliveries_by_replays;
DROP INDEX deliveries_given_up_by_status;
DROP TABLE search_entries;
DROP TABLE search_segments;
DROP TABLE search_layouts;
ALTER TABLE events DROP COLUMN idempotency_key;
ALTER TABLE event_types DROP COLUMN indexed;
