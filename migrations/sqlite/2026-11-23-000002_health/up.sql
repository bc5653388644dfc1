-- When a partner paused the endpoint; NULL when it does not. `enabled` is false while it is paused, whatever its settings say.
ALTER TABLE endpoints ADD COLUMN paused_at BIGINT;

-- The schedule of retries, as JSON, of endpoints that have none of their own; NULL is the default one.
ALTER TABLE event_types ADD COLUMN retry TEXT;

-- Endpoints in trouble, and no others: what their actors know of it and must still know after a restart (src/policy/health.rs).
-- Times are milliseconds since the Unix epoch.
CREATE TABLE endpoint_health (
  endpoint BIGINT NOT NULL PRIMARY KEY,
  -- The first failed attempt since the last success.
  failing_since BIGINT,
  -- The breaker opened, so many probes have failed since then, and the next goes out no earlier than this.
  opened_at BIGINT,
  probes BIGINT NOT NULL,
  probe_at BIGINT,
  -- The receiver asked for no request before then.
  not_before BIGINT,
  -- Its operator was warned.
  warned_at BIGINT,
  -- It was disabled, and why: failing, gone.
  disabled_at BIGINT,
  disabled_reason TEXT
) WITHOUT ROWID;
