-- The map of shards to servers: see migrations/0007_shard_map.sql.

-- name: all
SELECT shard, server, made, target, leftover, owner, epoch FROM shard_map ORDER BY shard

-- name: of
SELECT shard, server, made, target, leftover, owner, epoch FROM shard_map WHERE shard = %s

-- name: moving
SELECT shard FROM shard_map WHERE target IS NOT NULL

-- name: own
-- Whoever took it later has the higher epoch, whichever of the two is heard of first.
UPDATE shard_map SET owner = %(owner)s, epoch = %(epoch)s WHERE shard = %(shard)s AND epoch <= %(epoch)s

-- name: let_go
UPDATE shard_map SET owner = NULL WHERE shard = %s AND epoch = %s

-- name: place
INSERT INTO shard_map (shard, server) SELECT * FROM unnest(%s::int[], %s::text[])

-- name: not_made
SELECT shard FROM shard_map WHERE server = %s AND NOT made ORDER BY shard

-- name: made
UPDATE shard_map SET made = true WHERE server = %s AND shard = ANY(%s::int[])

-- name: aim
UPDATE shard_map SET target = %(target)s
WHERE shard = %(shard)s AND server <> %(target)s AND (target IS NULL OR target = %(target)s) AND leftover IS NULL
RETURNING shard

-- name: switch
UPDATE shard_map SET server = target, target = NULL, leftover = server WHERE shard = %s AND target = %s
RETURNING shard

-- name: stay
UPDATE shard_map SET target = NULL, leftover = target WHERE shard = %s AND target IS NOT NULL

-- name: tidied
UPDATE shard_map SET leftover = NULL WHERE shard = %s AND leftover = %s

-- name: count
SELECT count(*) FROM shard_map
