-- What is read of a data directory that moves into a cluster. `{columns}` and `{table}` are put in from the list of
-- tables.

-- name: meta
SELECT value FROM meta WHERE key = ?

-- name: count
SELECT count(*) FROM {table}

-- name: rows
SELECT {columns} FROM {table}

-- name: make_places
-- Which shard of the cluster each device of this one goes to. In a file that goes with the connection.
CREATE TEMP TABLE place (uid INTEGER PRIMARY KEY, shard INTEGER NOT NULL)

-- name: put_place
INSERT INTO temp.place VALUES (?, ?)

-- name: place
SELECT shard FROM temp.place WHERE uid = ?

-- name: profiles
SELECT uid, body FROM profile ORDER BY uid

-- name: is_taken
SELECT 1 FROM profile WHERE uid = ?

-- name: placed_rows
-- What is about no stored device stays together.
SELECT coalesce(place.shard, ?), {columns} FROM {table} LEFT JOIN temp.place USING (uid)

-- name: journal
SELECT seq, at, body FROM journal ORDER BY seq

-- name: journal_ends
SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM journal
