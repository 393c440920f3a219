-- What operators did. The table: migrations/directory.

-- name: add
INSERT INTO audit VALUES (?, ?, ?)

-- name: note_end
INSERT OR REPLACE INTO meta VALUES ('audit_end', ?)

-- name: end
SELECT value FROM meta WHERE key = 'audit_end'

-- name: last
SELECT number, seal FROM audit ORDER BY number DESC LIMIT 1

-- name: page
SELECT body, seal FROM audit WHERE number > ? ORDER BY number LIMIT ?

-- name: all
SELECT number, body, seal FROM audit ORDER BY number
