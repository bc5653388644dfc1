-- Whoever was paused goes on, as its settings say: nobody could end the pause any more.
UPDATE endpoints SET enabled = TRUE
WHERE paused_at IS NOT NULL AND EXISTS (
  SELECT 1 FROM endpoint_versions
  WHERE endpoint_versions.endpoint = endpoints.id AND endpoint_versions.version = endpoints.version
    AND settings LIKE '%"enabled":true%');
DROP TABLE endpoint_health;
ALTER TABLE event_types DROP COLUMN retry;
ALTER TABLE endpoints DROP COLUMN paused_at;
