-- API tokens. The table: migrations/0002_directory.sql.

-- name: all
SELECT body FROM token

-- name: find
SELECT body FROM token WHERE hash = %s

-- name: lock
SELECT body FROM token WHERE id = %s FOR UPDATE

-- name: add
INSERT INTO token (id, hash, body) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING RETURNING id

-- name: save
UPDATE token SET body = %s WHERE id = %s
