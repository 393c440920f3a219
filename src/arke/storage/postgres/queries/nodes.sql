-- Nodes of a cluster and their leader, by the server's clock alone.

-- name: here
INSERT INTO node (name, address, role, version, catalog, figures, seen)
VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (name) DO UPDATE
SET address = excluded.address, role = excluded.role, version = excluded.version, catalog = excluded.catalog,
    figures = excluded.figures, seen = excluded.seen

-- name: leave
DELETE FROM node WHERE name = %s

-- name: forget
DELETE FROM node WHERE seen < clock_timestamp() - make_interval(secs => %s)

-- name: all
SELECT name, address, role, version, catalog, extract(epoch FROM started)::bigint,
       extract(epoch FROM clock_timestamp() - seen)::float8, figures
FROM node ORDER BY name

-- name: owners
SELECT s.shard, n.address FROM shard_map s JOIN node n ON n.name = s.owner ORDER BY s.shard

-- name: owner_names
SELECT shard, owner FROM shard_map WHERE owner IS NOT NULL ORDER BY shard

-- name: lead
-- Only whoever holds it, or nobody: nothing is updated for all others.
UPDATE leader SET holder = %(name)s, seen = clock_timestamp(), turn = turn + (holder IS DISTINCT FROM %(name)s)::int
WHERE holder = %(name)s OR holder IS NULL OR seen < clock_timestamp() - make_interval(secs => %(lease_s)s)
RETURNING turn

-- name: resign
UPDATE leader SET holder = NULL WHERE holder = %s

-- name: leader
SELECT holder FROM leader WHERE seen >= clock_timestamp() - make_interval(secs => %s)
