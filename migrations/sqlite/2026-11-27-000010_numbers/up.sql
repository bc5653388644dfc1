-- The last number of an endpoint whose delivery with that number is gone: numbers never begin anew. Of all others it is in their
-- deliveries, so that accepting writes nothing here.
CREATE TABLE endpoint_numbers (
  endpoint INTEGER NOT NULL PRIMARY KEY,
  last INTEGER NOT NULL
);
-- Whoever deletes deliveries, and in whatever order: only the last that is left has anything to say.
CREATE TRIGGER deliveries_leave_their_last_number AFTER DELETE ON deliveries
WHEN OLD.number IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM deliveries WHERE endpoint = OLD.endpoint AND number IS NOT NULL AND number > OLD.number)
BEGIN
  INSERT INTO endpoint_numbers (endpoint, last) VALUES (OLD.endpoint, OLD.number)
  ON CONFLICT (endpoint) DO UPDATE SET last = MAX(last, excluded.last);
END;
