DROP TABLE audit_head;
DROP TABLE audit_log;
DROP FUNCTION refuse_to_change_the_audit_log();
ALTER TABLE api_keys DROP COLUMN last_used_at;
