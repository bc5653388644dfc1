-- What operators hold: a partner in an environment by its scope, or a whole environment by 0 or 1.
CREATE TABLE brakes (
  scope INTEGER NOT NULL PRIMARY KEY,
  since BIGINT NOT NULL,
  reason TEXT
);

-- Whether a brake alone holds the endpoint. `enabled` is false then; the last brake over it that is released makes it true.
ALTER TABLE endpoints ADD COLUMN braked BOOLEAN NOT NULL DEFAULT FALSE;
