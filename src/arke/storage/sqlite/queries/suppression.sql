-- Who is never to be taken again. The tables: migrations/directory.

-- name: hashes
SELECT hash FROM suppressed

-- name: is_suppressed
SELECT 1 FROM suppressed WHERE hash = ?

-- name: edition
SELECT value FROM meta WHERE key = 'suppression_edition'

-- name: next_edition
INSERT INTO meta VALUES ('suppression_edition', 2) ON CONFLICT (key) DO UPDATE SET value = value + 1
RETURNING value

-- name: has_ended
SELECT 1 FROM privacy_request WHERE number = ? AND done <> 0

-- name: wanted_by
SELECT request FROM suppressed_by WHERE hash = ? ORDER BY request

-- name: lifted
SELECT hash, at FROM lifted

-- name: suppress
INSERT OR IGNORE INTO suppressed VALUES (?, ?)

-- name: want
INSERT OR IGNORE INTO suppressed_by VALUES (?, ?, ?)

-- name: unlift
DELETE FROM lifted WHERE hash = ?

-- name: unwant
DELETE FROM suppressed_by WHERE hash = ? AND request = ?

-- name: unwant_request
DELETE FROM suppressed_by WHERE request = ? RETURNING hash, device

-- name: still_wanted
SELECT 1 FROM suppressed_by WHERE hash = ? LIMIT 1

-- name: take_off
DELETE FROM suppressed WHERE hash = ? RETURNING hash

-- name: note_lifted
INSERT OR REPLACE INTO lifted VALUES (?, ?)
