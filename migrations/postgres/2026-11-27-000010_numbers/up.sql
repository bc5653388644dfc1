-- The last number that was given to a delivery of each endpoint, and by when, in milliseconds of the server's clock; and two
-- earlier numbers with the times by which they and all below them had been given, at least a minute apart. Whoever
-- finds a number missing knows by them how long ago it was given (src/store/pull.rs). An endpoint has a row once it has a number.
-- The row is changed by each commit that accepts something for the endpoint, and where a reader stays open for long, none of its
-- old versions can go: so after so many changes another row takes its place, of the next generation, and what is looked for is
-- the newest of these, which has few.
CREATE TABLE endpoint_numbers (
  endpoint BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  changes BIGINT NOT NULL,
  last BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  newer BIGINT NOT NULL,
  newer_at BIGINT NOT NULL,
  older BIGINT NOT NULL,
  older_at BIGINT NOT NULL,
  PRIMARY KEY (endpoint, generation)
) WITH (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0.0,
  autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0
);

-- What take_row_keys does (no keys where `count` is 0), and under the same lock so many numbers for each of these endpoints, each
-- of which stands here once: so numbers grow as keys do. Answers the first key as kind 1, and the last number of each endpoint as
-- kind 2.
CREATE FUNCTION take_row_keys_and_numbers(count BIGINT, not_before BIGINT, endpoints BIGINT[], counts BIGINT[])
RETURNS TABLE (kind BIGINT, id BIGINT, value BIGINT) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  first BIGINT;
  taken_at BIGINT;
  given BIGINT := 0;
  changed BIGINT;
  full_ones BIGINT[] := '{}';
BEGIN
  PERFORM pg_advisory_xact_lock(731003312, 1);
  IF count > 0 THEN
    SELECT greatest(last_value + 1, not_before) INTO first FROM row_keys;
    PERFORM setval('row_keys', first + count - 1);
    kind := 1; id := 0; value := first;
    RETURN NEXT;
  END IF;
  IF cardinality(endpoints) = 0 THEN
    RETURN;
  END IF;
  -- Behind the lock: whoever was in front of it has taken its numbers.
  taken_at := ceil(extract(epoch FROM clock_timestamp()) * 1000);
  kind := 2;
  FOR id, value, changed IN
    UPDATE endpoint_numbers AS row SET
      changes = row.changes + 1,
      last = row.last + newest.wanted,
      last_at = greatest(row.last_at, taken_at),
      newer = CASE WHEN taken_at - row.newer_at >= 60000 THEN row.last ELSE row.newer END,
      newer_at = CASE WHEN taken_at - row.newer_at >= 60000 THEN row.last_at ELSE row.newer_at END,
      older = CASE WHEN taken_at - row.newer_at >= 60000 THEN row.newer ELSE row.older END,
      older_at = CASE WHEN taken_at - row.newer_at >= 60000 THEN row.newer_at ELSE row.older_at END
    FROM (
      SELECT asked.endpoint, asked.wanted, (
        SELECT generation FROM endpoint_numbers AS known WHERE known.endpoint = asked.endpoint ORDER BY generation DESC LIMIT 1
      ) AS generation
      FROM unnest(endpoints, counts) AS asked (endpoint, wanted)) AS newest
    WHERE row.endpoint = newest.endpoint AND row.generation = newest.generation
    RETURNING row.endpoint, row.last, row.changes
  LOOP
    RETURN NEXT;
    given := given + 1;
    IF changed >= 200 THEN
      full_ones := full_ones || id;
    END IF;
  END LOOP;
  IF given < cardinality(endpoints) THEN
    RETURN QUERY
      INSERT INTO endpoint_numbers AS row (endpoint, generation, changes, last, last_at, newer, newer_at, older, older_at)
      SELECT asked.endpoint, 0, 0, asked.wanted, taken_at, 0, taken_at, 0, 0
      FROM unnest(endpoints, counts) AS asked (endpoint, wanted)
      WHERE NOT EXISTS (SELECT 1 FROM endpoint_numbers AS known WHERE known.endpoint = asked.endpoint)
      RETURNING 2::bigint, row.endpoint, row.last;
  END IF;
  IF cardinality(full_ones) > 0 THEN
    WITH gone AS (DELETE FROM endpoint_numbers WHERE endpoint = ANY(full_ones) RETURNING *)
    INSERT INTO endpoint_numbers (endpoint, generation, changes, last, last_at, newer, newer_at, older, older_at)
    SELECT endpoint, generation + 1, 0, last, last_at, newer, newer_at, older, older_at FROM gone;
  END IF;
END
$$;
