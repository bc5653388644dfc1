-- What hears of all partners is nothing that the release before knows.
UPDATE endpoints SET deleted_at = updated_at, deleted_version = changed_version WHERE scope <= 1 AND deleted_at IS NULL;
DROP INDEX endpoints_listening;
ALTER TABLE endpoints DROP COLUMN listens;
ALTER TABLE endpoint_health DROP COLUMN announced_at;
