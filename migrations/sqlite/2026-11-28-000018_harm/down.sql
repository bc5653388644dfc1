DROP INDEX audit_log_of_key;
DROP INDEX endpoint_health_failing;
DROP INDEX endpoint_health_disabled;
DROP INDEX endpoint_health_open;
