-- Endpoints in trouble by how bad it is, for whoever looks at the worst first (src/store/harm.rs): the breaker is open, Posthaste
-- disabled it, it has only failed. Each is in at most one of them.
CREATE INDEX endpoint_health_open ON endpoint_health (endpoint) WHERE opened_at IS NOT NULL AND disabled_at IS NULL;
CREATE INDEX endpoint_health_disabled ON endpoint_health (endpoint) WHERE disabled_at IS NOT NULL;
CREATE INDEX endpoint_health_failing ON endpoint_health (endpoint)
WHERE failing_since IS NOT NULL AND opened_at IS NULL AND disabled_at IS NULL;

-- What was done with a key, newest last.
CREATE INDEX audit_log_of_key ON audit_log (actor_key, number) WHERE actor_key IS NOT NULL;
