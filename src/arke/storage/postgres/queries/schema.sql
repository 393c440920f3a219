-- The schema itself, and the rows that are made with it.

-- name: one_at_a_time
-- Until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('arke'), hashtext(current_schema()))

-- name: there_is_a_version
-- In the first schema of the search_path alone: another cluster may be in the next one.
SELECT to_regclass(quote_ident(current_schema()) || '.schema_version') IS NOT NULL

-- name: version
SELECT version FROM schema_version

-- name: drop_version
DELETE FROM schema_version

-- name: put_version
INSERT INTO schema_version VALUES (%s)

-- name: lock_timeout
SELECT set_config('lock_timeout', %s, true)

-- name: takes_no_writes
SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean

-- name: may_create
SELECT current_schema() IS NOT NULL AND has_schema_privilege(current_schema(), 'CREATE')

-- name: not_writable
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
  AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
ORDER BY relname

-- name: make_shards
INSERT INTO shard (shard, uid_key) SELECT * FROM unnest(%s::int[], %s::bytea[]) ON CONFLICT (shard) DO NOTHING

-- name: make_hash_key
-- Of the directory's keyed hashes: made once, for ever.
INSERT INTO meta (key, value) VALUES ('hash_key', %s) ON CONFLICT (key) DO NOTHING

-- name: note
INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING

-- name: get_note
SELECT value FROM meta WHERE key = %s
