-- By which replay a delivery was made; NULL where it was made when its event was accepted. The event of a replayed one is older
-- than it, and its key does not follow the event's.
ALTER TABLE pending ADD COLUMN replay BIGINT;
ALTER TABLE finished ADD COLUMN replay BIGINT;
-- What was made by replays: of an event, and to an endpoint in the order of the events.
CREATE INDEX pending_replayed ON pending (event, endpoint) WHERE replay IS NOT NULL;
CREATE INDEX pending_replayed_to ON pending (endpoint, event) WHERE replay IS NOT NULL;
CREATE INDEX pending_of_replay ON pending (replay, endpoint) WHERE replay IS NOT NULL;
CREATE INDEX finished_replayed ON finished (event, endpoint) WHERE replay IS NOT NULL;
CREATE INDEX finished_replayed_to ON finished (endpoint, event) WHERE replay IS NOT NULL;
CREATE INDEX finished_of_replay ON finished (replay, endpoint, status) WHERE replay IS NOT NULL;

-- A delivery's number among all of its endpoint, from 1, taken when it is accepted; NULL for what was accepted before there
-- were numbers.
ALTER TABLE pending ADD COLUMN number BIGINT;
ALTER TABLE finished ADD COLUMN number BIGINT;
CREATE INDEX pending_by_number ON pending (endpoint, number) WHERE number IS NOT NULL;
CREATE INDEX finished_by_number ON finished (endpoint, number) WHERE number IS NOT NULL;

CREATE OR REPLACE VIEW deliveries AS
  SELECT id, event, endpoint, status::BIGINT AS status, attempt_count::BIGINT AS attempt_count,
         scheduled_attempts::BIGINT AS scheduled_attempts, next_at, NULL::BIGINT AS finished_at, sequence, order_key,
         replay, number
  FROM pending
  UNION ALL
  SELECT id, event, endpoint, status::BIGINT, attempt_count::BIGINT, scheduled_attempts::BIGINT, NULL::BIGINT, finished_at,
         sequence, NULL::BIGINT, replay, number
  FROM finished;
