-- What an attempt looked like on the wire: a line of words, each with a letter before it (v the version of its endpoint's
-- settings, d c t f the milliseconds of DNS, connecting, TLS and the first byte, n or r for a new or a reused connection, @ the
-- address), and behind that line the headers that came back, one a line. NULL where nobody looked: attempts of earlier releases.
ALTER TABLE attempts ADD COLUMN exchange TEXT;

-- When these settings came into force; NULL for those of earlier releases.
ALTER TABLE endpoint_versions ADD COLUMN since_at BIGINT;
