-- Messages of a shard are numbered from 1 without a gap.

-- name: append
-- Messages of any shards at once: their numbers are taken in the order of the shards, so that two who do the same
-- wait for each other and never both.
WITH message AS (
  SELECT shard, body, row_number() OVER (PARTITION BY shard ORDER BY place) AS place,
         count(*) OVER (PARTITION BY shard) AS together
  FROM unnest(%s::int[], %b::bytea[]) WITH ORDINALITY AS given (shard, body, place)
), ends AS (
  INSERT INTO log_end AS e (shard, number)
  SELECT shard, count(*) FROM message GROUP BY shard ORDER BY shard
  ON CONFLICT (shard) DO UPDATE SET number = e.number + excluded.number
  RETURNING shard, number
), written AS (
  INSERT INTO log (shard, number, body)
  SELECT shard, ends.number - together + place, body FROM message JOIN ends USING (shard)
)
SELECT shard, number FROM ends

-- name: try
-- Messages that nobody is to see.
INSERT INTO log (shard, number, body)
SELECT 0, -(random() * 1e15)::bigint - n, convert_to(repeat('x', %s::int), 'UTF8') FROM generate_series(1, %s::int) AS n

-- name: fetch
-- What follows these positions, some messages of each shard; a shard of which nothing does, although its end is
-- elsewhere, has one row without a message.
SELECT e.shard, e.number, l.number, l.body
FROM unnest(%s::int[], %s::bigint[]) AS k (shard, position)
JOIN log_end e ON e.shard = k.shard AND e.number <> k.position
LEFT JOIN LATERAL (
  SELECT log.number, log.body FROM log
  WHERE log.shard = k.shard AND log.number > k.position ORDER BY log.number LIMIT %s
) AS l ON true
LIMIT %s

-- name: trim
DELETE FROM log USING unnest(%s::int[], %s::bigint[]) AS k (shard, position)
WHERE log.shard = k.shard AND log.number <= k.position

-- name: refuse
INSERT INTO refused (source, shard, position, item, reason, body)
SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::int[], %s::text[], %b::bytea[])
ON CONFLICT DO NOTHING

-- name: trim_refused
DELETE FROM refused WHERE at < now() - make_interval(secs => %s)
