-- What operators hold: a partner in an environment by its scope, or a whole environment by 0 or 1.
CREATE TABLE brakes (
  scope INTEGER NOT NULL PRIMARY KEY,
  since BIGINT NOT NULL,
  reason TEXT
);

-- Since when a brake alone holds the endpoint. `enabled` is false then; the last brake over it that is released makes it true.
ALTER TABLE endpoints ADD COLUMN braked_since BIGINT;
