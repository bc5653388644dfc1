-- When an event is to be delivered at the earliest, and until when it is worth delivering; NULL is at once, and for ever.
-- Its deliveries begin with status 1 and their time in next_at.
ALTER TABLE events ADD COLUMN deliver_at BIGINT;
ALTER TABLE events ADD COLUMN expires_at BIGINT;

-- A delivery's number in its endpoint's order, which it keeps, and what it waits for others by: while it is unfinished, of
-- those with one key only the first has status 1, and all others have status -1 and are not due. Both are NULL where the
-- endpoint wants no order; where its event has no such field, order_key is negative and nobody else's.
ALTER TABLE deliveries ADD COLUMN sequence BIGINT;
ALTER TABLE deliveries ADD COLUMN order_key BIGINT;
CREATE INDEX deliveries_in_order ON deliveries (endpoint, order_key, status, sequence)
WHERE order_key IS NOT NULL AND next_at IS NOT NULL;
-- What is for later and in no order.
CREATE INDEX deliveries_for_later ON deliveries (endpoint, next_at)
WHERE next_at IS NOT NULL AND status = 1 AND scheduled_attempts = 0 AND sequence IS NULL;
-- What an ordered endpoint reads: all that has a time, but what is for later, which may be very much.
CREATE INDEX deliveries_placed ON deliveries (endpoint, next_at)
WHERE next_at IS NOT NULL AND status = 1 AND (scheduled_attempts > 0 OR sequence IS NOT NULL);

-- Endpoints that want an order, or did: by which one what they have is in order, NULL for none, `undoing` while
-- it is taken out of one, and the last number given.
CREATE TABLE endpoint_orders (
  endpoint BIGINT NOT NULL PRIMARY KEY,
  event_order TEXT,
  last_sequence BIGINT NOT NULL
) WITHOUT ROWID;

-- How many of its deliveries were discarded by hand: whoever holds some in memory sees that it has to look again.
-- Deliveries' status 6 is discarded: skipped, 7 discarded: expired.
ALTER TABLE endpoints ADD COLUMN discards BIGINT NOT NULL DEFAULT 0;
