-- Privacy requests. The table: migrations/0002_directory.sql.

-- name: open
INSERT INTO privacy_request (at, body)
SELECT %s, r.body FROM unnest(%s::bytea[]) WITH ORDINALITY AS r(body, place) ORDER BY r.place
RETURNING number

-- name: save
-- A node that slept while another one led may not know that one has ended, and has nothing to say about it.
UPDATE privacy_request r SET body = s.body
FROM (SELECT * FROM unnest(%s::bigint[], %s::bytea[]) AS t(number, body)) s WHERE r.number = s.number AND r.done = 0

-- name: amend
UPDATE privacy_request SET body = %s WHERE number = %s AND done <> 0

-- name: hold
SELECT number FROM privacy_request WHERE number = ANY(%s::bigint[]) AND done = 0 ORDER BY number FOR UPDATE

-- name: finish
UPDATE privacy_request r SET done = %s, body = s.body
FROM (SELECT * FROM unnest(%s::bigint[], %s::bytea[]) AS t(number, body)) s WHERE r.number = s.number

-- name: get
SELECT number, at, done, body FROM privacy_request WHERE number = ANY(%s::bigint[])

-- name: unfinished
SELECT number FROM privacy_request WHERE done = 0 ORDER BY number

-- name: page
SELECT number, at, done, body FROM privacy_request WHERE number < %s ORDER BY number DESC LIMIT %s

-- name: note_remains
-- Deleted rows lie in the server's files until nobody can see them any more: see `erase_remains`.
INSERT INTO meta (key, value) VALUES ('remains', convert_to(pg_current_xact_id()::xid::text, 'UTF8'))
ON CONFLICT (key) DO UPDATE SET value = excluded.value
