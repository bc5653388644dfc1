DROP INDEX deliveries_by_number;
ALTER TABLE deliveries DROP COLUMN number;
DROP INDEX deliveries_of_replay;
DROP INDEX deliveries_replayed_to;
DROP INDEX deliveries_replayed;
ALTER TABLE deliveries DROP COLUMN replay;
