-- What waited for others goes out when it can; what was discarded for a reason that is not known any more, was held too long.
UPDATE pending SET status = 0 WHERE status = -1;
UPDATE finished SET status = 5 WHERE status IN (6, 7);
ALTER TABLE endpoints DROP COLUMN discards;
DROP TABLE endpoint_orders;
DROP INDEX pending_placed;
DROP INDEX pending_for_later;
DROP VIEW deliveries;
CREATE VIEW deliveries AS
  SELECT id, event, endpoint, status::BIGINT AS status, attempt_count::BIGINT AS attempt_count,
         scheduled_attempts::BIGINT AS scheduled_attempts, next_at, NULL::BIGINT AS finished_at
  FROM pending
  UNION ALL
  SELECT id, event, endpoint, status::BIGINT, attempt_count::BIGINT, scheduled_attempts::BIGINT, NULL::BIGINT, finished_at
  FROM finished;
ALTER TABLE finished DROP COLUMN sequence;
ALTER TABLE pending DROP COLUMN order_key;
ALTER TABLE pending DROP COLUMN sequence;
ALTER TABLE events DROP COLUMN expires_at;
ALTER TABLE events DROP COLUMN deliver_at;
