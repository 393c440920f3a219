-- Who is never to be taken again. The tables: migrations/0002_directory.sql.
--
-- Whoever changes what is wanted of a hash holds its row in `suppressed`, in the order of the hashes: so nobody takes
-- off the list what another one is just putting on it. The edition comes last: from then on the others wait.

-- name: edition
SELECT edition FROM suppression_edition

-- name: next_edition
UPDATE suppression_edition SET edition = edition + 1 RETURNING edition

-- name: hold_requests
-- None of them ends meanwhile.
SELECT number, done <> 0 FROM privacy_request WHERE number = ANY(%s::bigint[]) ORDER BY number FOR SHARE

-- name: hashes
SELECT hash FROM suppressed

-- name: wanted_by
SELECT request FROM suppressed_by WHERE hash = %s ORDER BY request

-- name: lifted
SELECT hash, at FROM lifted

-- name: suppress
-- The update changes nothing: it holds the row.
INSERT INTO suppressed AS s (hash, at)
SELECT h.hash, %s FROM unnest(%s::bytea[]) AS h(hash) ORDER BY h.hash
ON CONFLICT (hash) DO UPDATE SET at = s.at

-- name: want
INSERT INTO suppressed_by (request, hash, device)
SELECT w.request, w.hash, w.device FROM unnest(%s::bigint[], %s::bytea[], %s::boolean[]) AS w(request, hash, device)
ORDER BY w.hash, w.request
ON CONFLICT (request, hash) DO NOTHING

-- name: unlift
DELETE FROM lifted WHERE hash = ANY(%s::bytea[])

-- name: hold
SELECT hash FROM suppressed WHERE hash = ANY(%s::bytea[]) ORDER BY hash FOR UPDATE

-- name: hold_request
SELECT hash FROM suppressed WHERE hash IN (SELECT hash FROM suppressed_by WHERE request = %s) ORDER BY hash FOR UPDATE

-- name: unwant
DELETE FROM suppressed_by WHERE hash = %s AND request = ANY(%s::bigint[])

-- name: unwant_request
DELETE FROM suppressed_by WHERE request = %s RETURNING hash, device

-- name: still_wanted
SELECT DISTINCT hash FROM suppressed_by WHERE hash = ANY(%s::bytea[])

-- name: take_off
DELETE FROM suppressed WHERE hash = ANY(%s::bytea[]) RETURNING hash

-- name: note_lifted
INSERT INTO lifted (hash, at) SELECT h.hash, %s FROM unnest(%s::bytea[]) AS h(hash)
ON CONFLICT (hash) DO UPDATE SET at = excluded.at
