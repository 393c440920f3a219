-- Who is in by files that are the whole audience. The tables: migrations/0002_directory.sql.

-- name: make
INSERT INTO feed (name, dpid, kind, subject)
SELECT %s, %s, s.kind, s.subject FROM unnest(%s::smallint[], %s::bigint[]) AS s(kind, subject)
ORDER BY s.kind, s.subject
ON CONFLICT (name, dpid, kind, subject) DO NOTHING

-- name: find
SELECT f.kind, f.subject, f.number, f.file, f.at,
  EXISTS (SELECT 1 FROM feed o WHERE o.kind = f.kind AND o.subject = f.subject AND o.number <> f.number)
FROM unnest(%(kinds)s::smallint[], %(subjects)s::bigint[]) AS s(kind, subject)
JOIN feed f ON f.name = %(name)s AND f.dpid = %(dpid)s AND f.kind = s.kind AND f.subject = s.subject

-- name: begin
UPDATE feed SET file = %s, at = greatest(at, %s) WHERE number = ANY(%s::bigint[])

-- name: name
UPDATE fed SET named = %s
FROM (SELECT * FROM unnest(%s::bigint[], %s::text[]) AS t(feed, id)) n WHERE fed.feed = n.feed AND fed.id = n.id

-- name: count
SELECT count(*), count(*) FILTER (WHERE named <> %s) FROM fed WHERE feed = %s

-- name: hold
INSERT INTO fed (feed, id, file) SELECT h.feed, h.id, %s FROM unnest(%s::bigint[], %s::text[]) AS h(feed, id)
ORDER BY h.feed, h.id
ON CONFLICT (feed, id) DO UPDATE SET file = excluded.file

-- name: keep
UPDATE fed SET file = %s
FROM (SELECT * FROM unnest(%s::bigint[], %s::text[]) AS t(feed, id)) u WHERE fed.feed = u.feed AND fed.id = u.id

-- name: page
SELECT id, file FROM fed WHERE feed = %s AND id > %s ORDER BY id LIMIT %s

-- name: let_go
DELETE FROM fed USING unnest(%s::bigint[], %s::text[]) AS g(feed, id)
WHERE fed.feed = g.feed AND fed.id = g.id AND fed.file <> %s

-- name: is_held
WITH ids (dpid, id) AS (
  SELECT %(dpid)s::bigint, %(id)s::text
  UNION SELECT 0, %(device)s::text
  UNION SELECT dpid, id FROM identity WHERE uuid = %(device)s
  UNION SELECT dpid, id FROM person WHERE uuid = %(device)s AND uuid <> ''
  UNION SELECT dpid, id FROM person WHERE dpid = %(home_dpid)s AND id = %(home_id)s AND uuid = ''
)
SELECT 1 FROM ids JOIN feed ON feed.dpid = ids.dpid AND feed.kind = %(kind)s AND feed.subject = %(subject)s
  JOIN fed ON fed.feed = feed.number AND fed.id = ids.id
WHERE feed.number <> %(feed)s OR (fed.file = %(file)s AND (ids.dpid, ids.id) <> (%(dpid)s, %(id)s))
LIMIT 1

-- name: forget
DELETE FROM fed USING unnest(%s::bigint[], %s::text[]) AS k(dpid, id), feed
WHERE feed.dpid = k.dpid AND fed.feed = feed.number AND fed.id = k.id

-- name: forget_unlinked
-- Ids that were forgotten with their last device.
DELETE FROM fed USING unnest(%s::bigint[], %s::text[]) AS k(dpid, id), feed
WHERE feed.dpid = k.dpid AND fed.feed = feed.number AND fed.id = k.id
  AND NOT EXISTS (SELECT 1 FROM person p WHERE p.dpid = k.dpid AND p.id = k.id)
