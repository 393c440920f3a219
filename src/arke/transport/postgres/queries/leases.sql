-- Leases on shards, by the server's clock alone.

-- name: make_leases
INSERT INTO shard_lease (shard) SELECT generate_series(0, %s - 1) ON CONFLICT DO NOTHING

-- name: forget_workers
DELETE FROM worker WHERE seen < clock_timestamp() - make_interval(secs => %s)

-- name: renew
INSERT INTO worker (name, seen) VALUES (%s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen

-- name: take
-- Of the shards that are nobody's, as many as this worker lacks of its share. Two who do it at once take others.
WITH alive AS (
  SELECT name, row_number() OVER (ORDER BY name) AS place, count(*) OVER () AS workers
  FROM worker WHERE seen > clock_timestamp() - make_interval(secs => %(lease_s)s)
), share AS (
  SELECT shards / workers + (place <= shards %% workers)::int AS size
  FROM alive, (SELECT count(*) AS shards FROM shard_lease) AS counted WHERE name = %(worker)s
), nobodys AS (
  SELECT shard FROM shard_lease AS l
  WHERE worker IS NULL OR NOT EXISTS (SELECT FROM alive WHERE alive.name = l.worker)
  ORDER BY shard
  LIMIT (SELECT greatest(0, size - (SELECT count(*) FROM shard_lease WHERE worker = %(worker)s)) FROM share)
  FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE shard_lease AS l SET worker = %(worker)s FROM nobodys WHERE l.shard = nobodys.shard
)
SELECT size FROM share

-- name: mine
SELECT shard FROM shard_lease WHERE worker = %s ORDER BY shard

-- name: release
UPDATE shard_lease SET worker = NULL WHERE worker = %s AND shard = ANY (%s)

-- name: release_all
UPDATE shard_lease SET worker = NULL WHERE worker = %s

-- name: leave
DELETE FROM worker WHERE name = %s
