-- Owners of ids, devices of people, moves and takeovers. The tables: migrations/0002_directory.sql.
--
-- Any number of nodes run these at once. None waits for another in a circle: all lock in the order of the tables
-- identity, person, joining, move, takeover, shared_id, and within a table in the order of the key.

-- name: owners
SELECT k.dpid, k.id, i.uuid, i.generation, i.state, i.first, f.first,
  i.uuid IS NOT NULL AND EXISTS (SELECT 1 FROM move m WHERE m.dpid = k.dpid AND m.id = k.id)
FROM unnest(%s::bigint[], %s::text[], %s::bytea[]) AS k(dpid, id, hash)
LEFT JOIN identity i ON i.dpid = k.dpid AND i.id = k.id
LEFT JOIN first_device f ON f.id = k.hash AND i.uuid IS NULL
WHERE i.uuid IS NOT NULL OR f.first IS NOT NULL

-- name: owned
SELECT id, uuid FROM identity WHERE dpid = %s AND id = ANY (%s::text[])

-- name: people
SELECT p.dpid, p.id, p.uuid, p.generation, p.state
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS k(dpid, id, uuid)
JOIN person p ON p.dpid = k.dpid AND p.id = k.id AND p.uuid = k.uuid

-- name: takeovers
SELECT k.place, t.count
FROM unnest(%s::integer[], %s::bytea[]) WITH ORDINALITY AS k(day, device, place)
JOIN takeover t ON t.day = k.day AND t.device = k.device

-- name: hashes
-- In one statement with the edition: it is that of the list which is seen.
SELECT e.edition, l.hash
FROM suppression_edition e
LEFT JOIN (SELECT s.hash FROM unnest(%s::bytea[]) AS k(hash) JOIN suppressed s ON s.hash = k.hash) l ON true

-- name: begin_link
-- So that the transaction has its number before it looks at the suppression list: see `links_ended`.
SELECT pg_current_xact_id()

-- name: links_begun
SELECT pg_current_xact_id()::text::bigint

-- name: links_ended
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > %s

-- name: devices
SELECT k.dpid, k.id, p.uuid
FROM unnest(%s::bigint[], %s::text[]) AS k(dpid, id)
CROSS JOIN LATERAL (
  SELECT uuid, generation FROM person
  WHERE person.dpid = k.dpid AND person.id = k.id AND uuid <> ''
  ORDER BY generation DESC LIMIT %s
) p
ORDER BY k.dpid, k.id, p.generation DESC

-- name: ids_of
SELECT uuid, dpid, id FROM identity WHERE uuid = ANY(%s::text[]) ORDER BY dpid, id

-- name: shared
SELECT id, dpid, devices, day FROM shared_id ORDER BY day

-- name: moves
SELECT dpid, id, old_uuid, new_uuid, at, generation FROM move ORDER BY generation, dpid, id

-- name: moves_from
SELECT dpid, id, old_uuid, new_uuid, at, generation FROM move m
WHERE old_shard = ANY(%s::smallint[]) AND NOT EXISTS (
  SELECT 1 FROM move o WHERE o.dpid = m.dpid AND o.id = m.id AND o.generation < m.generation
)
ORDER BY generation, dpid, id

-- name: moving
SELECT old_uuid FROM move WHERE old_uuid = ANY(%(uuids)s::text[])
UNION SELECT new_uuid FROM move WHERE new_uuid = ANY(%(uuids)s::text[])

-- name: moved
DELETE FROM move WHERE dpid = %s AND id = %s AND generation = %s

-- name: claim
-- New mappings, each in the place of the one that it was decided from. One statement for those that were known and
-- those that were not, so that rows are locked in the order of the key: two nodes never wait for each other. Of an id
-- that is not what it was there is no answer; nor of one that is suppressed by now, or whose new owner is.
INSERT INTO identity AS i (dpid, id, uuid, at, generation, state, first, replaces)
SELECT c.dpid, c.id, c.uuid, %s, c.generation, c.state, c.first, c.replaces
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::smallint[], %s::bytea[], %s::bigint[])
  AS c(dpid, id, uuid, generation, state, first, replaces)
WHERE NOT EXISTS (
  SELECT FROM unnest(%s::bigint[], %s::text[], %s::bytea[]) AS n(dpid, id, hash) JOIN suppressed s ON s.hash = n.hash
  WHERE n.dpid = c.dpid AND n.id = c.id
)
ORDER BY c.dpid, c.id
ON CONFLICT (dpid, id) DO UPDATE
SET uuid = excluded.uuid, at = excluded.at, generation = excluded.generation, state = excluded.state,
    first = excluded.first, replaces = NULL
WHERE i.generation = excluded.replaces
RETURNING i.dpid, i.id

-- name: unclaim
-- An id that was forgotten since must not come back under a mapping that was decided from the one it had.
DELETE FROM identity i USING unnest(%s::bigint[], %s::text[]) AS k(dpid, id)
WHERE i.dpid = k.dpid AND i.id = k.id AND i.replaces IS NOT NULL
RETURNING i.dpid, i.id

-- name: indivisible
-- After the claims: it fails by division by zero where a device got some of its ids and not the others, and the server
-- skips all that follows. See `link_people` for IS TRUE.
SELECT 1 / (count(*) = 0)::integer FROM (
  SELECT w.device FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[])
    AS w(device, dpid, id, owner, claimed)
  LEFT JOIN identity i
    ON i.dpid = w.dpid AND i.id = w.id AND i.generation = w.claimed AND (i.uuid = w.owner) IS TRUE
  GROUP BY w.device
  HAVING count(*) FILTER (WHERE w.owner IS NULL OR i.id IS NOT NULL) NOT IN (0, count(*))
) AS torn

-- name: link_people
-- Of ids that were claimed at the same time (owner, claimed), only where the claim stands. IS TRUE: so that the id is
-- looked up by its key, and not among all ids of the owner, of which there may be very many.
INSERT INTO person AS p (dpid, id, uuid, at, generation, state)
SELECT l.dpid, l.id, l.uuid, %s, l.generation, l.state
FROM unnest(
  %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::smallint[], %s::text[], %s::bigint[]
) AS l(dpid, id, uuid, generation, state, owner, claimed)
WHERE (l.owner IS NULL OR EXISTS (
  SELECT 1 FROM identity i
  WHERE i.dpid = l.dpid AND i.id = l.id AND i.generation = l.claimed AND (i.uuid = l.owner) IS TRUE
)) AND NOT EXISTS (
  SELECT FROM unnest(%s::bigint[], %s::text[], %s::bytea[]) AS n(dpid, id, hash) JOIN suppressed s ON s.hash = n.hash
  WHERE n.dpid = l.dpid AND n.id = l.id
)
ORDER BY l.dpid, l.id, l.uuid
ON CONFLICT (dpid, id, uuid) DO UPDATE
SET at = excluded.at, generation = excluded.generation, state = excluded.state

-- name: bound_people
-- The oldest devices beyond the bound go, but never the owner, nor the home. Rows that others hold go another time.
WITH ranked AS (
  SELECT p.dpid, p.id, p.uuid, row_number() OVER (PARTITION BY p.dpid, p.id ORDER BY p.generation DESC) AS place
  FROM unnest(%s::bigint[], %s::text[]) AS k(dpid, id)
  JOIN person p ON p.dpid = k.dpid AND p.id = k.id
  LEFT JOIN identity i ON i.dpid = k.dpid AND i.id = k.id
  WHERE p.uuid <> '' AND p.uuid IS DISTINCT FROM i.uuid
), old AS (
  SELECT p.dpid, p.id, p.uuid FROM person p JOIN ranked r ON r.dpid = p.dpid AND r.id = p.id AND r.uuid = p.uuid
  WHERE r.place >= %s
  FOR UPDATE OF p SKIP LOCKED
)
DELETE FROM person p USING old WHERE p.dpid = old.dpid AND p.id = old.id AND p.uuid = old.uuid

-- name: add_moves
INSERT INTO move (dpid, id, old_uuid, new_uuid, at, generation, old_shard)
SELECT m.dpid, m.id, m.old_uuid, m.new_uuid, m.at, m.generation, m.old_shard
FROM unnest(
  %s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::smallint[], %s::text[], %s::bigint[]
) AS m(dpid, id, old_uuid, new_uuid, at, generation, old_shard, owner, claimed)
WHERE m.owner IS NULL OR EXISTS (
  SELECT 1 FROM identity i
  WHERE i.dpid = m.dpid AND i.id = m.id AND i.generation = m.claimed AND (i.uuid = m.owner) IS TRUE
)
ORDER BY m.dpid, m.id, m.generation

-- name: count_takeovers
INSERT INTO takeover AS t (day, device, count)
SELECT * FROM unnest(%s::integer[], %s::bytea[], %s::integer[]) AS c(day, device, count) ORDER BY c.day, c.device
ON CONFLICT (day, device) DO UPDATE SET count = greatest(t.count, excluded.count)

-- name: prune_takeovers
DELETE FROM takeover WHERE (day, device) IN (
  SELECT day, device FROM takeover WHERE day < %s LIMIT %s FOR UPDATE SKIP LOCKED
)

-- name: note_shared
INSERT INTO shared_id AS s (id, dpid, devices, day)
SELECT * FROM unnest(%s::bytea[], %s::bigint[], %s::bigint[], %s::integer[]) AS n(id, dpid, devices, day) ORDER BY n.id
ON CONFLICT (id) DO UPDATE SET devices = greatest(s.devices, excluded.devices), day = greatest(s.day, excluded.day)

-- name: prune_shared
DELETE FROM shared_id WHERE id IN (SELECT id FROM shared_id WHERE day < %s ORDER BY id FOR UPDATE SKIP LOCKED)

-- name: hold
-- The ids of devices that are forgotten, and the others asked for, held in the order in which claims take them.
WITH gone (dpid, id) AS (
  SELECT dpid, id FROM identity WHERE uuid = ANY(%s::text[])
  UNION SELECT * FROM unnest(%s::bigint[], %s::text[])
)
SELECT i.dpid, i.id FROM identity i JOIN gone g ON g.dpid = i.dpid AND g.id = i.id
ORDER BY i.dpid, i.id FOR UPDATE OF i

-- name: forget_ids
-- Of those held: one may have gone to another device just before.
DELETE FROM identity i USING unnest(%s::bigint[], %s::text[], %s::boolean[]) AS k(dpid, id, asked)
WHERE i.dpid = k.dpid AND i.id = k.id AND (k.asked OR i.uuid = ANY(%s::text[]))
RETURNING i.dpid, i.id, i.uuid, i.first

-- name: forget_people
WITH gone (dpid, id, uuid) AS (
  SELECT dpid, id, uuid FROM person WHERE uuid = ANY(%(uuids)s::text[]) AND uuid <> ''
  UNION SELECT p.dpid, p.id, p.uuid
    FROM unnest(%(dpids)s::bigint[], %(ids)s::text[]) AS k(dpid, id) JOIN person p ON p.dpid = k.dpid AND p.id = k.id
  UNION SELECT h.dpid, h.id, '' FROM unnest(%(home_dpids)s::bigint[], %(home_ids)s::text[]) AS h(dpid, id)
), held AS (
  SELECT p.dpid, p.id, p.uuid FROM person p JOIN gone g ON g.dpid = p.dpid AND g.id = p.id AND g.uuid = p.uuid
  ORDER BY p.dpid, p.id, p.uuid FOR UPDATE OF p
)
DELETE FROM person p USING held h WHERE p.dpid = h.dpid AND p.id = h.id AND p.uuid = h.uuid

-- name: forget_moves
DELETE FROM move m USING unnest(%s::bigint[], %s::text[]) AS k(dpid, id) WHERE m.dpid = k.dpid AND m.id = k.id

-- name: remember_first
INSERT INTO first_device (id, first) SELECT * FROM unnest(%s::bytea[], %s::bytea[]) AS f(id, first) ORDER BY f.id
ON CONFLICT (id) DO UPDATE SET first = excluded.first
