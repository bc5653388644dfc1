-- Whether the event's producer asked that its payload not be kept: 1, or NULL. When the payload was erased, and why: 1 retention,
-- 2 its producer asked for that. Of an erased one `body` is empty.
ALTER TABLE events ADD COLUMN retain BIGINT;
ALTER TABLE events ADD COLUMN erased_at BIGINT;
ALTER TABLE events ADD COLUMN erased_by BIGINT;
-- Those whose payload goes once all is delivered: a few at a time.
CREATE INDEX events_unretained ON events (id) WHERE retain IS NOT NULL AND erased_at IS NULL;

-- For how many days what is kept that is not kept as long as `retention_days` says: of a partner in an environment by its scope,
-- of a whole environment by 0 or 1. NULL is as the next larger says.
CREATE TABLE retentions (
  scope BIGINT NOT NULL PRIMARY KEY,
  payload_days BIGINT,
  attempts_days BIGINT,
  held_days BIGINT,
  exhausted_days BIGINT
);

-- How far the walk over a scope's events has come: kept is what it looks for (0 payloads, 1 attempts, 2 held deliveries,
-- 3 exhausted ones), after the key of the last event that it has passed.
CREATE TABLE retention_walks (
  scope BIGINT NOT NULL,
  kept BIGINT NOT NULL,
  after BIGINT NOT NULL,
  PRIMARY KEY (scope, kept)
);

-- Events that a walk has passed although something of them was still needed: they are looked at again.
CREATE TABLE retention_left (
  scope BIGINT NOT NULL,
  event BIGINT NOT NULL,
  PRIMARY KEY (scope, event)
);

-- Since when everything of the partner is being erased. It is nobody any more: its scopes went in the same commit.
ALTER TABLE partners ADD COLUMN erasing_since BIGINT;
CREATE INDEX partners_erasing ON partners (id) WHERE erasing_since IS NOT NULL;

CREATE INDEX api_keys_of_partner ON api_keys (partner) WHERE partner IS NOT NULL;
