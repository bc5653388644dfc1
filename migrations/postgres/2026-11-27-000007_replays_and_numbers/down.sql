DROP VIEW deliveries;
CREATE VIEW deliveries AS
  SELECT id, event, endpoint, status::BIGINT AS status, attempt_count::BIGINT AS attempt_count,
         scheduled_attempts::BIGINT AS scheduled_attempts, next_at, NULL::BIGINT AS finished_at, sequence, order_key
  FROM pending
  UNION ALL
  SELECT id, event, endpoint, status::BIGINT, attempt_count::BIGINT, scheduled_attempts::BIGINT, NULL::BIGINT, finished_at,
         sequence, NULL::BIGINT
  FROM finished;
ALTER TABLE finished DROP COLUMN number;
ALTER TABLE pending DROP COLUMN number;
ALTER TABLE finished DROP COLUMN replay;
ALTER TABLE pending DROP COLUMN replay;
