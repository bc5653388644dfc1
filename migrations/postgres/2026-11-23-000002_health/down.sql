DROP TABLE endpoint_health;
ALTER TABLE event_types DROP COLUMN retry;
ALTER TABLE endpoints DROP COLUMN paused_at;
