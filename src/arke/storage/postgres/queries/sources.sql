-- How far other people's topics are read. The tables: migrations/0006_sources.sql.

-- name: take
INSERT INTO source_partition AS p (source, topic, number, epoch, reader, at)
VALUES (%s, %s, %s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %s, %s)
ON CONFLICT (source, topic, number) DO UPDATE
SET epoch = greatest(p.epoch + 1, excluded.epoch), reader = excluded.reader, at = excluded.at
RETURNING epoch, next, newest, topic_id, life, events, refused, skipped, claim, claimed_at

-- name: holds
SELECT 1 FROM source_partition WHERE source = %s AND topic = %s AND number = %s AND epoch = %s

-- name: advance
-- Whoever is no longer the reader changes nothing, and gets no row.
WITH moved AS (
  UPDATE source_partition
  SET next = %(next)s, newest = %(end)s, topic_id = %(topic_id)s, life = %(life)s, events = %(events)s, refused = %(refused)s,
      skipped = %(skipped)s, at = %(at)s, claim = %(claim)s, claimed_at = %(claimed_at)s
  WHERE source = %(source)s AND topic = %(topic)s AND number = %(number)s AND epoch = %(epoch)s
  RETURNING 1
), kept AS (
  INSERT INTO source_refused (source, topic, partition, position, item, at, code, message)
  SELECT r.* FROM moved CROSS JOIN unnest(
    %(sources)s::text[], %(topics)s::text[], %(partitions)s::integer[], %(positions)s::bigint[],
    %(items)s::integer[], %(ats)s::bigint[], %(codes)s::text[], %(messages)s::text[]
  ) AS r ON CONFLICT DO NOTHING
)
SELECT 1 FROM moved

-- name: trim_refused
DELETE FROM source_refused WHERE source = %(source)s AND topic = %(topic)s AND number <= (
  SELECT number FROM source_refused WHERE source = %(source)s AND topic = %(topic)s
  ORDER BY number DESC LIMIT 1 OFFSET %(kept)s
)

-- name: release
UPDATE source_partition SET reader = '' WHERE source = %s AND topic = %s AND number = %s AND epoch = %s

-- name: partitions
SELECT source, topic, number, reader, next, newest, topic_id, life, events, refused, skipped, at
FROM source_partition ORDER BY source, topic, number

-- name: refused
SELECT source, topic, partition, position, item, at, code, message
FROM source_refused ORDER BY number DESC LIMIT %s

-- name: forget_claims
UPDATE source_partition SET claim = '' WHERE claimed_at < %s AND claim <> ''
