-- What somebody asked to have delivered again. Its id is a row key: what is selected was accepted before, and has a smaller one.
-- scope is whose endpoints they are, or 0 or 1 where they are several partners'. state: 0 running, 1 done, 2 cancelled.
-- selection is JSON (src/store/replaying.rs). actor and actor_key are who asked, as in the audit log.
CREATE TABLE replays (
  id INTEGER NOT NULL PRIMARY KEY,
  scope BIGINT NOT NULL,
  state BIGINT NOT NULL,
  finished_at BIGINT,
  selection TEXT NOT NULL,
  per_second BIGINT,
  actor TEXT NOT NULL,
  actor_key TEXT
);
CREATE INDEX replays_by_scope ON replays (scope);
CREATE INDEX replays_running ON replays (scope) WHERE state = 0;

-- To which endpoints: the key of the last event that was looked at, that of the first, how many deliveries were made, and how
-- many events were passed over because there is nothing left of them to deliver.
CREATE TABLE replay_targets (
  replay BIGINT NOT NULL,
  endpoint BIGINT NOT NULL,
  cursor BIGINT NOT NULL,
  first_event BIGINT,
  made BIGINT NOT NULL,
  skipped BIGINT NOT NULL,
  done BOOLEAN NOT NULL,
  PRIMARY KEY (replay, endpoint)
) WITHOUT ROWID;
-- For an endpoint that is erased.
CREATE INDEX replay_targets_by_endpoint ON replay_targets (endpoint);

-- A replay's deliveries, in the order they were made.
CREATE INDEX deliveries_in_replay ON deliveries (replay) WHERE replay IS NOT NULL;
-- Exhausted ones alone: what is discarded may be very much more. Deliveries' status 8 is discarded: dismissed.
CREATE INDEX deliveries_exhausted ON deliveries (endpoint) WHERE status = 3;

-- How often somebody asked that what waits for its retry be tried now: whoever holds some in memory sees that it has to look again.
ALTER TABLE endpoints ADD COLUMN hurries BIGINT NOT NULL DEFAULT 0;
