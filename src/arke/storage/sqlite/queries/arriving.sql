-- Shards that are put together of the parts of others. `{table}`, `{columns}` and `{marks}` are put in from the list of
-- tables.

-- name: put
INSERT INTO {table} ({columns}) VALUES ({marks})

-- name: put_over
INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})

-- name: count
SELECT count(*) FROM {table}

-- name: is_taken
SELECT 1 FROM profile WHERE uid = ?

-- name: profiles
SELECT uid, body FROM profile ORDER BY uid

-- name: records
SELECT seq, body FROM journal WHERE seq > ? ORDER BY seq

-- name: change_record
UPDATE journal SET body = ? WHERE seq = ?

-- name: put_meta
INSERT OR REPLACE INTO meta VALUES (?, ?)
