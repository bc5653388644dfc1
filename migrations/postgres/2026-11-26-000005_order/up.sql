-- When an event is to be delivered at the earliest, and until when it is worth delivering; NULL is at once, and for ever.
-- Its deliveries begin with status 1 and their time in next_at.
ALTER TABLE events ADD COLUMN deliver_at BIGINT;
ALTER TABLE events ADD COLUMN expires_at BIGINT;

-- A delivery's number in its endpoint's order, which it keeps, and what it waits for others by: of those with one key only
-- the first has status 1, and all others have status -1 and are not due. Both are NULL where the endpoint wants no order; where
-- its event has no such field, order_key is negative and nobody else's.
ALTER TABLE pending ADD COLUMN sequence BIGINT;
ALTER TABLE pending ADD COLUMN order_key BIGINT;
CREATE INDEX pending_in_order ON pending (endpoint, order_key, status, sequence) WHERE order_key IS NOT NULL;
ALTER TABLE finished ADD COLUMN sequence BIGINT;
CREATE OR REPLACE VIEW deliveries AS
  SELECT id, event, endpoint, status::BIGINT AS status, attempt_count::BIGINT AS attempt_count,
         scheduled_attempts::BIGINT AS scheduled_attempts, next_at, NULL::BIGINT AS finished_at, sequence, order_key
  FROM pending
  UNION ALL
  SELECT id, event, endpoint, status::BIGINT, attempt_count::BIGINT, scheduled_attempts::BIGINT, NULL::BIGINT, finished_at,
         sequence, NULL::BIGINT
  FROM finished;
-- What is for later and in no order.
CREATE INDEX pending_for_later ON pending (endpoint, next_at)
WHERE status = 1 AND scheduled_attempts = 0 AND sequence IS NULL;
-- What an ordered endpoint reads: all that has a time, but what is for later, which may be very much.
CREATE INDEX pending_placed ON pending (partition, endpoint, next_at, id)
WHERE status = 1 AND (scheduled_attempts > 0 OR sequence IS NOT NULL);

-- Endpoints that want an order, or did: by which one what they have is in order, NULL for none, `undoing` while
-- it is taken out of one, and the last number given.
-- What is due next is decided under a lock on this row (src/store/postgres/transaction/ordering.rs).
CREATE TABLE endpoint_orders (
  endpoint BIGINT NOT NULL PRIMARY KEY,
  event_order TEXT,
  last_sequence BIGINT NOT NULL
) WITH (fillfactor = 50);

-- How many of its deliveries were discarded by hand: whoever holds some in memory sees that it has to look again.
-- Deliveries' status 6 is discarded: skipped, 7 discarded: expired.
ALTER TABLE endpoints ADD COLUMN discards BIGINT NOT NULL DEFAULT 0;
