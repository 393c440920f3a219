-- What a directory has lost and shards have kept, put back into its file. The tables: migrations/directory.

-- name: meta
SELECT value FROM meta WHERE key = ?

-- name: more_meta
SELECT 1 FROM meta WHERE key NOT IN ('hash_key', 'shards')

-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name != 'meta'

-- name: is_owned
SELECT 1 FROM identity WHERE dpid = ? AND id = ?

-- name: was_forgotten
SELECT 1 FROM first_device WHERE id = ?

-- name: put_owner
INSERT INTO identity (dpid, id, uuid, at, generation) VALUES (?, ?, ?, ?, ?)
