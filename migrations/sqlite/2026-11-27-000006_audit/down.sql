DROP TABLE audit_head;
DROP TABLE audit_log;
ALTER TABLE api_keys DROP COLUMN last_used_at;
