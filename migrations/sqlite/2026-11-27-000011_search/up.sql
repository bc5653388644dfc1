-- Places in events of the type by which they are found, as a JSON array of pointers; NULL is none.
ALTER TABLE event_types ADD COLUMN indexed TEXT;

-- The key that the event was posted with. It stays when it holds no longer, so that it is found by it.
ALTER TABLE events ADD COLUMN idempotency_key TEXT;

-- Of which types which fields a segment has, as JSON, each such list once.
CREATE TABLE search_layouts (
  id INTEGER NOT NULL PRIMARY KEY,
  fields TEXT NOT NULL UNIQUE
);

-- Some thousands of events that follow each other in key, and are indexed together. A later segment has a larger id and
-- larger keys.
CREATE TABLE search_segments (
  id INTEGER NOT NULL PRIMARY KEY,
  first_key BIGINT NOT NULL UNIQUE,
  last_key BIGINT NOT NULL,
  events BIGINT NOT NULL,
  layout BIGINT NOT NULL
);

-- What a segment's events are found by: hashes, and the events that have them (src/store/search/packing.rs). A hash belongs to
-- one of 256 buckets; id = bucket * 2^40 + segment, so that one bucket of all segments is one range.
CREATE TABLE search_entries (
  id INTEGER NOT NULL PRIMARY KEY,
  entries BLOB NOT NULL
);

-- What was given up, whoever's it was, newest last.
CREATE INDEX deliveries_given_up_by_status ON deliveries (status) WHERE status >= 3;
-- What was made by replays, whoever's it is, newest last.
CREATE INDEX deliveries_by_replays ON deliveries (id) WHERE replay IS NOT NULL;

CREATE INDEX endpoints_at_url ON endpoints (url) WHERE deleted_at IS NULL;
