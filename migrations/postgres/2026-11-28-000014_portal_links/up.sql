-- Links to the partner portal are keys that nobody sends: whoever opens one gets a session. portal_link is NULL for a key proper, 1
-- for a link that opens once, 0 for one that opens until it ends. spent_at: when it was last opened. A link's hash is over other
-- bytes than a key's (src/auth/key.rs), so that a release that knows nothing of links takes none for a key.
ALTER TABLE api_keys ADD COLUMN portal_link BIGINT CHECK (portal_link IN (0, 1));
ALTER TABLE api_keys ADD COLUMN spent_at BIGINT;
-- For lists: of keys without the links, and of a partner's links.
CREATE INDEX api_keys_by_kind ON api_keys (portal_link, id);
CREATE INDEX portal_links_of_partner ON api_keys (partner, id) WHERE portal_link IS NOT NULL;
