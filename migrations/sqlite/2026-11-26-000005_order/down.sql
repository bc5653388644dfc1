-- What waited for others goes out when it can; what was discarded for a reason that is not known any more, was held too long.
UPDATE deliveries SET status = 0 WHERE status = -1;
UPDATE deliveries SET status = 5 WHERE status IN (6, 7);
ALTER TABLE endpoints DROP COLUMN discards;
DROP TABLE endpoint_orders;
DROP INDEX deliveries_placed;
DROP INDEX deliveries_for_later;
DROP INDEX deliveries_in_order;
ALTER TABLE deliveries DROP COLUMN order_key;
ALTER TABLE deliveries DROP COLUMN sequence;
ALTER TABLE events DROP COLUMN expires_at;
ALTER TABLE events DROP COLUMN deliver_at;
