DROP INDEX portal_links_of_partner;
DROP INDEX api_keys_by_kind;
DELETE FROM api_keys WHERE portal_link IS NOT NULL;
ALTER TABLE api_keys DROP COLUMN spent_at;
ALTER TABLE api_keys DROP COLUMN portal_link;
