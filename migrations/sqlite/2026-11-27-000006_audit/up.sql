-- When a key was last used, to about a minute. NULL is never, as far as anybody knows.
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT;

-- Who changed what. Numbers begin with 1 and have no gaps; each entry's hash is over its columns, drawn salt included, and the
-- hash of the one before it (src/policy/audit_chain.rs). Names stand here as they were, so that the log reads alone: partner is
-- a partner's name, actor_key a key's public id, detail JSON.
CREATE TABLE audit_log (
  number INTEGER NOT NULL PRIMARY KEY CHECK (number >= 1),
  at BIGINT NOT NULL,
  environment BIGINT CHECK (environment IN (0, 1)),
  partner TEXT,
  actor TEXT NOT NULL,
  actor_key TEXT,
  address TEXT,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  salt BLOB NOT NULL CHECK (length(salt) = 16),
  previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
  hash BLOB NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX audit_log_of_partner ON audit_log (partner, environment, number) WHERE partner IS NOT NULL;
CREATE INDEX audit_log_of_subject ON audit_log (subject, number);
CREATE INDEX audit_log_by_time ON audit_log (at);

-- Entries are added, and nothing else is ever done to them.
CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_log_is_not_cut BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
-- REPLACE would remove what has the number already, and no trigger would hear of it.
CREATE TRIGGER audit_log_is_not_replaced BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

-- The last entry's number and hash, by which one that was cut off is missed.
CREATE TABLE audit_head (
  id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
  number BIGINT NOT NULL,
  hash BLOB NOT NULL
);
INSERT INTO audit_head (id, number, hash) VALUES (1, 0, zeroblob(32));
