-- A cluster as a whole. The tables: migrations/0001_shards.sql and 0002_directory.sql.

-- name: get
SELECT value FROM meta WHERE key = %s

-- name: add
INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING

-- name: has_meta
SELECT to_regclass(quote_ident(current_schema()) || '.meta') IS NOT NULL

-- name: has_map
SELECT to_regclass(quote_ident(current_schema()) || '.shard_map') IS NOT NULL

-- name: map_names
SELECT shard, server FROM shard_map ORDER BY shard

-- name: shards
SELECT shard, owner, epoch, position, profiles, extract(epoch FROM clock_timestamp() - proved)::float8
FROM shard ORDER BY shard

-- name: count_refused
SELECT count(*) FROM refused

-- name: newest_refused
SELECT source, shard, position, item, extract(epoch FROM at)::bigint, reason
FROM refused ORDER BY at DESC, source, shard, position, item LIMIT 1
