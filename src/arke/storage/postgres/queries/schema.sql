-- The schema itself, and the rows that are made with it.

-- name: one_at_a_time
-- Until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('arke'), hashtext(current_schema()))

-- name: there_is_a_version
SELECT to_regclass('schema_version') IS NOT NULL

-- name: version
SELECT version FROM schema_version

-- name: drop_version
DELETE FROM schema_version

-- name: put_version
INSERT INTO schema_version VALUES (%s)

-- name: in_recovery
SELECT pg_is_in_recovery()

-- name: count_shards
SELECT count(*) FROM shard

-- name: make_shards
INSERT INTO shard (shard, uid_key) SELECT * FROM unnest(%s::int[], %s::bytea[])

-- name: make_hash_key
-- Of the directory's keyed hashes: made once, for ever.
INSERT INTO meta (key, value) VALUES ('hash_key', %s) ON CONFLICT (key) DO NOTHING
