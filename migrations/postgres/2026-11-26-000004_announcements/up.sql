-- When those who subscribed to that were last told that the endpoint fails.
ALTER TABLE endpoint_health ADD COLUMN announced_at BIGINT;

-- Whether some of its patterns ask for Posthaste's own events. Endpoints of scope 0 and 1 hear of all partners of their
-- environment, and of nothing else.
ALTER TABLE endpoints ADD COLUMN listens BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX endpoints_listening ON endpoints (scope, id) WHERE listens AND deleted_at IS NULL;
