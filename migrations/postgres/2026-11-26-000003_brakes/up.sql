-- What operators hold: a partner in an environment by its scope, or a whole environment by 0 or 1. Written only by who has
-- locked the environment's clock.
CREATE TABLE brakes (
  scope BIGINT NOT NULL PRIMARY KEY,
  since BIGINT NOT NULL,
  reason TEXT
);

-- Since when a brake alone holds the endpoint. `enabled` is false then; the last brake over it that is released makes it true.
ALTER TABLE endpoints ADD COLUMN braked_since BIGINT;

-- Whether a node was started held. It says that it is leaving as well, so that nobody counts on it.
ALTER TABLE nodes ADD COLUMN is_held BOOLEAN NOT NULL DEFAULT FALSE;
