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

-- name: end_stalled
-- The server's own limits do not end a session that is silent in the middle of its statements, with rows locked:
-- they count from the end of one, and begin again with the next.
SELECT pg_terminate_backend(s.pid)
FROM pg_stat_activity s
WHERE s.datname = current_database() AND s.usename = current_user
  AND s.wait_event_type = 'Client' AND s.wait_event = 'ClientRead'
  AND s.xact_start < clock_timestamp() - make_interval(secs => %s)
  AND s.application_name <> 'arke, unhurried'
  AND s.pid IN (
    SELECT unnest(pg_blocking_pids(w.pid))
    FROM pg_stat_activity w
    WHERE w.datname = current_database() AND w.wait_event_type = 'Lock'
  )
