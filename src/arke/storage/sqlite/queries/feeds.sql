-- Who is in by files that are the whole audience. The tables: migrations/directory.

-- name: make
INSERT OR IGNORE INTO feed (name, dpid, kind, subject) VALUES (?, ?, ?, ?)

-- name: find
SELECT number, file, at FROM feed WHERE name = ? AND dpid = ? AND kind = ? AND subject = ?

-- name: others
SELECT count(*) FROM feed WHERE kind = ? AND subject = ? AND number <> ?

-- name: begin
UPDATE feed SET file = ?1, at = max(at, ?2) WHERE number = ?3

-- name: name
UPDATE fed SET named = ?3 WHERE feed = ?1 AND id = ?2

-- name: count
SELECT count(*), ifnull(sum(named <> ?2), 0) FROM fed WHERE feed = ?1

-- name: hold
INSERT INTO fed (feed, id, file) VALUES (?1, ?2, ?3) ON CONFLICT (feed, id) DO UPDATE SET file = ?3

-- name: keep
UPDATE fed SET file = ?3 WHERE feed = ?1 AND id = ?2

-- name: page
SELECT id, file FROM fed WHERE feed = ? AND id > ? ORDER BY id LIMIT ?

-- name: let_go
DELETE FROM fed WHERE feed = ? AND id = ? AND file <> ?

-- name: is_held
WITH ids (dpid, id) AS (
  SELECT ?1, ?2
  UNION SELECT 0, ?3
  UNION SELECT dpid, id FROM identity WHERE uuid = ?3
  UNION SELECT dpid, id FROM person WHERE uuid = ?3
)
SELECT 1 FROM ids JOIN feed ON feed.dpid = ids.dpid AND feed.kind = ?4 AND feed.subject = ?5
  JOIN fed ON fed.feed = feed.number AND fed.id = ids.id
WHERE feed.number <> ?6 OR (fed.file = ?7 AND (ids.dpid, ids.id) <> (?1, ?2))
LIMIT 1

-- name: forget
DELETE FROM fed WHERE id = ?2 AND feed IN (SELECT number FROM feed WHERE dpid = ?1)

-- name: forget_unlinked
DELETE FROM fed WHERE id = ?2 AND feed IN (SELECT number FROM feed WHERE dpid = ?1)
  AND NOT EXISTS (SELECT 1 FROM person WHERE dpid = ?1 AND id = ?2)
