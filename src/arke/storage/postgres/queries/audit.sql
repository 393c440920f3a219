-- What operators did. The tables: migrations/0002_directory.sql.

-- name: lock_end
-- Whoever adds an entry waits here for the one who is adding the entry before.
SELECT entries, seal FROM audit_end FOR UPDATE

-- name: add
INSERT INTO audit (number, body, seal) VALUES (%s, %s, %s)

-- name: note_end
UPDATE audit_end SET entries = %s, seal = %s

-- name: end
SELECT entries, seal FROM audit_end

-- name: page
SELECT body, seal FROM audit WHERE number > %s ORDER BY number LIMIT %s

-- name: all_after
-- With the end as it was in the same moment.
SELECT a.number, a.body, a.seal, e.entries, e.seal
FROM audit_end e LEFT JOIN LATERAL (
  SELECT number, body, seal FROM audit WHERE number > %s ORDER BY number LIMIT %s
) a ON true
