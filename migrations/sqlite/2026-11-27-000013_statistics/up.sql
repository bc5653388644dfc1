-- Counts to look at: what became of attempts and events in a minute (resolution 0) or an hour (1) that begins at bucket, for an
-- endpoint, or in sum over a scope where endpoint is 0. event_type is * for types that found no room of their own. Each writer,
-- a run of a node, has rows of its own, and a reader adds them up. tally: src/store/statistics.rs says what stands in it.
CREATE TABLE statistics (
  resolution BIGINT NOT NULL,
  scope BIGINT NOT NULL,
  endpoint BIGINT NOT NULL,
  bucket BIGINT NOT NULL,
  event_type TEXT NOT NULL,
  writer BIGINT NOT NULL,
  tally BLOB NOT NULL,
  PRIMARY KEY (resolution, scope, endpoint, bucket, event_type, writer)
) WITHOUT ROWID;
-- For what is old: minutes become hours, and hours go.
CREATE INDEX statistics_by_age ON statistics (resolution, bucket);
