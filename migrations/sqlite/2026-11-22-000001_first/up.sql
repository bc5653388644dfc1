-- Row keys hold their own time (src/store/ids.rs): 42 bits of milliseconds, 21 bits of counting.
-- An event's deliveries follow it in key, so that neither needs an index to find the other.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE meta (
  name TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE partners (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  created_at BIGINT NOT NULL
);

-- A partner in an environment: id = partner * 2 + environment (sandbox 0, production 1).
-- Partner 0 is all of them; its version is the environment's clock of subscription changes.
CREATE TABLE scopes (
  id INTEGER NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL
);
INSERT INTO scopes (id, version) VALUES (0, 1), (1, 1);

-- How often what is kept in memory has changed: keys, and each environment's catalog.
CREATE TABLE versions (
  subject TEXT NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO versions (subject, version) VALUES ('keys', 1), ('catalog sandbox', 1), ('catalog production', 1);

-- Lists of patterns, each once: sorted, with a space between. Most endpoints share one of a few.
-- A word that begins with posthaste.filter. is no pattern but says by which filter they want it (src/store/filters.rs).
CREATE TABLE interests (
  id INTEGER NOT NULL PRIMARY KEY,
  patterns TEXT NOT NULL UNIQUE
);

CREATE TABLE endpoints (
  id INTEGER NOT NULL PRIMARY KEY,
  scope BIGINT NOT NULL,
  url TEXT NOT NULL,
  interest BIGINT NOT NULL,
  version BIGINT NOT NULL,
  enabled BOOLEAN NOT NULL,
  created_version BIGINT NOT NULL,
  -- The environment's clock when the endpoint or its secrets last changed.
  changed_version BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_version BIGINT,
  deleted_at BIGINT,
  -- Set once no unfinished delivery of a deleted endpoint is left to discard.
  drained BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE UNIQUE INDEX endpoints_by_url ON endpoints (scope, url) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_by_scope ON endpoints (scope);
-- All that an event is matched against, without a look at the table; deleted_at is in it for that reason alone.
CREATE INDEX endpoints_by_interest ON endpoints (scope, deleted_at, interest) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_to_drain ON endpoints (drained) WHERE deleted_at IS NOT NULL AND NOT drained;

-- Append-only: what an endpoint's settings were at any version of its environment's clock.
CREATE TABLE endpoint_versions (
  endpoint BIGINT NOT NULL,
  version BIGINT NOT NULL,
  since_version BIGINT NOT NULL,
  settings TEXT NOT NULL,
  PRIMARY KEY (endpoint, version)
) WITHOUT ROWID;

CREATE TABLE endpoint_secrets (
  endpoint BIGINT NOT NULL,
  number BIGINT NOT NULL,
  secret TEXT NOT NULL,
  expires_at BIGINT,
  PRIMARY KEY (endpoint, number)
) WITHOUT ROWID;

CREATE TABLE event_types (
  environment BIGINT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  schema TEXT NOT NULL,
  example TEXT NOT NULL,
  PRIMARY KEY (environment, name)
) WITHOUT ROWID;

CREATE TABLE events (
  id INTEGER NOT NULL PRIMARY KEY,
  scope BIGINT NOT NULL,
  event_type TEXT NOT NULL,
  deliveries BIGINT NOT NULL,
  matched_version BIGINT NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX events_by_scope ON events (scope);

-- status: 0 pending, 1 retrying, 2 delivered, 3 retries_exhausted, 4 discarded: endpoint deleted, 5 discarded: retention.
-- next_at is set as long as an attempt is to come.
CREATE TABLE deliveries (
  id INTEGER NOT NULL PRIMARY KEY,
  event BIGINT NOT NULL,
  endpoint BIGINT NOT NULL,
  status BIGINT NOT NULL,
  attempt_count BIGINT NOT NULL,
  scheduled_attempts BIGINT NOT NULL,
  next_at BIGINT,
  finished_at BIGINT
);
CREATE INDEX deliveries_due ON deliveries (endpoint, status, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint);
CREATE INDEX deliveries_given_up ON deliveries (endpoint) WHERE status >= 3;

-- Keys of accepts that are written in several commits and have no event rows before the last of them. What lies in such
-- a range is not there for anybody yet. Nearly always empty. matched_version is the version of the subscriptions that
-- were matched: whoever was deleted after it may be among the endpoints.
CREATE TABLE unsealed (
  first_key INTEGER NOT NULL PRIMARY KEY,
  last_key BIGINT NOT NULL,
  matched_version BIGINT NOT NULL
);

CREATE TABLE attempts (
  delivery BIGINT NOT NULL,
  number BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  duration_ms BIGINT NOT NULL,
  status_code BIGINT,
  error_class TEXT,
  error_message TEXT,
  response_body BLOB,
  PRIMARY KEY (delivery, number)
) WITHOUT ROWID;

-- Attempts that someone asked for and that were not made yet.
CREATE TABLE manual_attempts (
  delivery BIGINT NOT NULL PRIMARY KEY,
  endpoint BIGINT NOT NULL,
  requested_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX manual_attempts_by_endpoint ON manual_attempts (endpoint);

CREATE TABLE idempotency_keys (
  scope BIGINT NOT NULL,
  key TEXT NOT NULL,
  request BLOB NOT NULL,
  events TEXT NOT NULL,
  refused BLOB NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE api_keys (
  id INTEGER NOT NULL PRIMARY KEY,
  hash BLOB NOT NULL UNIQUE,
  prefix TEXT NOT NULL,
  role TEXT NOT NULL,
  environment BIGINT,
  partner BIGINT,
  description TEXT,
  expires_at BIGINT,
  revoked_at BIGINT
);
