-- Whatever brakes alone hold goes on: nobody could release it any more.
UPDATE endpoints SET enabled = TRUE WHERE braked;
ALTER TABLE endpoints DROP COLUMN braked;
DROP TABLE brakes;
ALTER TABLE nodes DROP COLUMN is_held;
