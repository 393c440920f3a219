-- Data files, and who is to hear what they said of people. The tables: migrations/0002_directory.sql.

-- name: begin
INSERT INTO data_file (name, digest, begun) VALUES (%s, %s, %s) ON CONFLICT (name, digest) DO NOTHING

-- name: renew
-- Under a number that no file had.
UPDATE data_file SET number = DEFAULT, begun = %s, position = 0, done = false, body = '' WHERE name = %s AND digest = %s

-- name: find
SELECT number, begun, position, done, body FROM data_file WHERE name = %s AND digest = %s

-- name: advance
UPDATE data_file SET position = %s, body = %s WHERE number = %s

-- name: finish
UPDATE data_file SET done = true, body = %s WHERE number = %s

-- name: newest
SELECT name, number, begun, position, done, body FROM data_file WHERE number < %s ORDER BY number DESC LIMIT %s

-- name: filed
-- What was filed before people had homes, until it has moved there.
SELECT f.dpid, f.id, f.body FROM unnest(%s::bigint[], %s::text[]) AS k(dpid, id) JOIN filed f USING (dpid, id)

-- name: filed_page
SELECT dpid, id, body FROM filed LIMIT %s

-- name: join_others
-- The devices of people that a file spoke of, but those to which it was applied already. already: pairs.
INSERT INTO joining (dpid, id, uuid)
SELECT d.dpid, d.id, d.uuid
FROM unnest(%(dpids)s::bigint[], %(ids)s::text[]) AS k(dpid, id)
CROSS JOIN LATERAL (
  SELECT i.dpid, i.id, i.uuid FROM identity i WHERE i.dpid = k.dpid AND i.id = k.id
  UNION SELECT p.dpid, p.id, p.uuid FROM person p WHERE p.dpid = k.dpid AND p.id = k.id AND p.uuid <> ''
) d
WHERE d.uuid <> d.dpid || ':' || d.id
  AND (d.dpid, d.id, d.uuid) NOT IN (
    SELECT * FROM unnest(%(known_dpids)s::bigint[], %(known_ids)s::text[], %(known_uuids)s::text[])
  )
  AND (
    EXISTS (SELECT 1 FROM person h WHERE h.dpid = d.dpid AND h.id = d.id AND h.uuid = '')
    OR EXISTS (SELECT 1 FROM filed f WHERE f.dpid = d.dpid AND f.id = d.id)
  )
ORDER BY d.dpid, d.id, d.uuid
ON CONFLICT (dpid, id, uuid) DO UPDATE SET number = DEFAULT

-- name: join_linked
-- Devices that a claim has linked, where the person has a home, or will have one of what is filed.
INSERT INTO joining (dpid, id, uuid)
SELECT l.dpid, l.id, l.uuid
FROM unnest(%(dpids)s::bigint[], %(ids)s::text[], %(uuids)s::text[], %(generations)s::bigint[])
  AS l(dpid, id, uuid, generation)
JOIN person p ON p.dpid = l.dpid AND p.id = l.id AND p.uuid = l.uuid AND p.generation = l.generation
WHERE l.uuid <> '' AND (
  EXISTS (SELECT 1 FROM person h WHERE h.dpid = l.dpid AND h.id = l.id AND h.uuid = '')
  OR EXISTS (SELECT 1 FROM filed f WHERE f.dpid = l.dpid AND f.id = l.id)
)
ORDER BY p.generation, l.dpid, l.id, l.uuid
ON CONFLICT (dpid, id, uuid) DO UPDATE SET number = DEFAULT

-- name: joining
SELECT number, dpid, id, uuid FROM joining ORDER BY number LIMIT %s

-- name: joined
DELETE FROM joining WHERE number = ANY(%s::bigint[])

-- name: forget_filed
DELETE FROM filed f USING unnest(%s::bigint[], %s::text[]) AS k(dpid, id) WHERE f.dpid = k.dpid AND f.id = k.id

-- name: forget_joining
DELETE FROM joining j USING unnest(%s::bigint[], %s::text[]) AS k(dpid, id) WHERE j.dpid = k.dpid AND j.id = k.id

-- name: forget_joining_devices
DELETE FROM joining WHERE uuid = ANY(%s::text[])

-- name: prune_files
DELETE FROM data_file WHERE done AND begun < %s
