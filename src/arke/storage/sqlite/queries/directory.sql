-- What the directory knows of itself. The table: migrations/directory.

-- name: get
SELECT value FROM meta WHERE key = ?

-- name: add
INSERT INTO meta VALUES (?, ?)

-- name: set
INSERT OR REPLACE INTO meta VALUES (?, ?)

-- name: drop
DELETE FROM meta WHERE key = ?
