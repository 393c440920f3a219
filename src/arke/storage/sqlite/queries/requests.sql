-- Privacy requests. The table: migrations/directory.

-- name: open
INSERT INTO privacy_request (at, done, body) VALUES (?, 0, ?) RETURNING number

-- name: save
UPDATE privacy_request SET body = ? WHERE number = ? AND done = 0

-- name: amend
UPDATE privacy_request SET body = ? WHERE number = ? AND done <> 0

-- name: is_open
SELECT 1 FROM privacy_request WHERE number = ? AND done = 0

-- name: finish
UPDATE privacy_request SET done = ?, body = ? WHERE number = ?

-- name: get
SELECT number, at, done, body FROM privacy_request WHERE number = ?

-- name: unfinished
SELECT number FROM privacy_request WHERE done = 0 ORDER BY number

-- name: page
SELECT number, at, done, body FROM privacy_request WHERE number < ? ORDER BY number DESC LIMIT ?

-- name: note_remains
-- The directory's files may hold what was forgotten: it erases that (`erase_remains`) and drops the key.
INSERT OR REPLACE INTO meta VALUES ('compact_due', 1)
