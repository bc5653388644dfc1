-- By which replay a delivery was made; NULL where it was made when its event was accepted. The event of a replayed one is older
-- than it, and its key does not follow the event's.
ALTER TABLE deliveries ADD COLUMN replay BIGINT;
-- What was made by replays: of an event, and to an endpoint in the order of the events.
CREATE INDEX deliveries_replayed ON deliveries (event, endpoint) WHERE replay IS NOT NULL;
CREATE INDEX deliveries_replayed_to ON deliveries (endpoint, event) WHERE replay IS NOT NULL;
CREATE INDEX deliveries_of_replay ON deliveries (replay, endpoint, status) WHERE replay IS NOT NULL;

-- A delivery's number among all of its endpoint, from 1, taken when it is accepted; NULL for what was accepted before there
-- were numbers.
ALTER TABLE deliveries ADD COLUMN number BIGINT;
CREATE UNIQUE INDEX deliveries_by_number ON deliveries (endpoint, number) WHERE number IS NOT NULL;
