-- A shard goes from one server to another: see shard_move.py.

-- name: freeze
-- The owner stays: whoever takes the shard next has to wait for messages that it may still have under way.
UPDATE shard SET moving = true, epoch = greatest(epoch + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
WHERE shard = %s RETURNING 1

-- name: owner
SELECT owner, extract(epoch FROM clock_timestamp() - proved)::float8 FROM shard WHERE shard = %s

-- name: expect
-- Its place, so that two who bring it wait for each other.
INSERT INTO shard (shard, uid_key, moving) VALUES (%s, '', true) ON CONFLICT (shard) DO NOTHING

-- name: lock
SELECT moving FROM shard WHERE shard = %s FOR UPDATE

-- name: lock_for_reading
-- Nobody opens it again before the copy is whole.
SELECT moving FROM shard WHERE shard = %s FOR SHARE

-- name: columns
SELECT attname FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

-- name: open
UPDATE shard SET moving = false WHERE shard = %s AND moving

-- name: no_statement_timeout
SET LOCAL statement_timeout = 0

-- name: no_idle_timeout
SET LOCAL idle_in_transaction_session_timeout = 0

-- name: takes_its_time
-- See `end_stalled` in cluster.sql.
SET LOCAL application_name = 'arke, unhurried'
