-- Figures over time. The table: migrations/0009_history.sql.

-- name: get
SELECT h.kind, h.number, h.grain, h.begins, h.body
FROM unnest(%s::smallint[], %s::bigint[], %s::integer[], %s::bigint[]) AS k(kind, number, grain, begins)
JOIN history h USING (kind, number, grain, begins)

-- name: of
SELECT begins, body FROM history WHERE kind = %s AND number = %s AND grain = %s AND begins BETWEEN %s AND %s
ORDER BY begins

-- name: before
SELECT kind, number, grain, begins, body FROM history WHERE grain = %s AND begins < %s ORDER BY begins LIMIT %s

-- name: put
INSERT INTO history (kind, number, grain, begins, body)
SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::integer[], %s::bigint[], %s::bytea[])
  AS b(kind, number, grain, begins, body)
ORDER BY kind, number, grain, begins
ON CONFLICT (kind, number, grain, begins) DO UPDATE SET body = excluded.body

-- name: drop
DELETE FROM history USING unnest(%s::smallint[], %s::bigint[], %s::integer[], %s::bigint[])
  AS k(kind, number, grain, begins)
WHERE (history.kind, history.number, history.grain, history.begins) = (k.kind, k.number, k.grain, k.begins)
