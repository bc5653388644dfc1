-- Whatever brakes alone hold goes on: nobody could release it any more.
UPDATE endpoints SET enabled = TRUE WHERE braked_since IS NOT NULL;
ALTER TABLE endpoints DROP COLUMN braked_since;
DROP TABLE brakes;
ALTER TABLE nodes DROP COLUMN is_held;
