-- A data directory that moves in. `{table}` and `{columns}` are put in from the list of tables.

-- name: mark
SELECT value FROM meta WHERE key = 'import'

-- name: begin
-- Whoever marks it last is the one.
INSERT INTO meta (key, value) VALUES ('import', %(mark)s) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: hold
-- First in every transaction: it fails by division by zero once another import has begun.
WITH mark AS (SELECT 1 FROM meta WHERE key = 'import' AND value = %(mark)s FOR SHARE)
SELECT 1 / count(*) FROM mark

-- name: occupied
SELECT EXISTS (SELECT 1 FROM {table})

-- name: empty
TRUNCATE {table} RESTART IDENTITY

-- name: running_nodes
SELECT name FROM node WHERE seen > clock_timestamp() - make_interval(secs => %s) ORDER BY name

-- name: types
SELECT attribute.attname, type.typname FROM pg_attribute attribute JOIN pg_type type ON type.oid = attribute.atttypid
WHERE attribute.attrelid = to_regclass(%s) AND attribute.attnum > 0 AND NOT attribute.attisdropped

-- name: copy
COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)

-- name: stand
UPDATE shard SET uid_key = %(key)s, last_seq = %(last_seq)s, refreshed = %(refreshed)s, profiles = s.profiles,
  people = s.people
FROM unnest(%(shards)s::int[], %(profiles)s::bigint[], %(people)s::bigint[]) AS s (shard, profiles, people)
WHERE shard.shard = s.shard

-- name: stand_empty
UPDATE shard SET last_seq = 0, refreshed = NULL, profiles = 0, people = 0, counted_to = NULL

-- name: count
SELECT count(*) FROM {table}

-- name: count_records
SELECT coalesce(sum(count), 0)::bigint FROM journal

-- name: profiles
COPY (SELECT uid, body FROM profile WHERE shard = {shard} ORDER BY uid) TO STDOUT (FORMAT BINARY)

-- name: number_on
-- New rows go on behind those that came.
SELECT setval(pg_get_serial_sequence('{table}', 'number'), max(number)) FROM {table}

-- name: take_over
UPDATE meta SET value = %s WHERE key = 'hash_key'

-- name: put_audit_end
UPDATE audit_end SET entries = %s, seal = %s

-- name: analyse
ANALYZE {table}

-- name: done
DELETE FROM meta WHERE key = 'import' AND value = %s

-- name: elsewhere
SELECT DISTINCT server FROM shard_map WHERE server <> %s ORDER BY server
