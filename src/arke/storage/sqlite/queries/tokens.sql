-- API tokens. The table: migrations/directory.

-- name: all
SELECT body FROM token

-- name: find
SELECT body FROM token WHERE hash = ?

-- name: get
SELECT body FROM token WHERE id = ?

-- name: taken
SELECT 1 FROM token WHERE id = ? OR hash = ?

-- name: add
INSERT INTO token VALUES (?, ?, ?)

-- name: save
UPDATE token SET body = ? WHERE id = ?
