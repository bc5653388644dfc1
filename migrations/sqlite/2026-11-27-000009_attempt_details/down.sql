ALTER TABLE endpoint_versions DROP COLUMN since_at;
ALTER TABLE attempts DROP COLUMN exchange;
