-- Figures over time. The table: migrations/directory.

-- name: get
SELECT body FROM history WHERE kind = ? AND number = ? AND grain = ? AND begins = ?

-- name: of
SELECT begins, body FROM history WHERE kind = ? AND number = ? AND grain = ? AND begins BETWEEN ? AND ?
ORDER BY begins

-- name: before
SELECT kind, number, grain, begins, body FROM history WHERE grain = ? AND begins < ? ORDER BY begins LIMIT ?

-- name: put
INSERT INTO history (kind, number, grain, begins, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, number, grain, begins) DO UPDATE SET body = excluded.body

-- name: drop
DELETE FROM history WHERE kind = ? AND number = ? AND grain = ? AND begins = ?
