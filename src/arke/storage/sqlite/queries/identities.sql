-- Owners of ids, devices of people, moves and takeovers. The tables: migrations/directory.

-- name: owner
SELECT uuid, generation, state, first FROM identity WHERE dpid = ? AND id = ?

-- name: owners
-- Goes through the list one by one: after IN, SQLite would make a table of it first.
SELECT i.id, i.uuid, i.generation, i.state, i.first
FROM carray(?2) AS wanted CROSS JOIN identity AS i ON i.dpid = ?1 AND i.id = wanted.value

-- name: owned
-- Likewise.
SELECT i.id, i.uuid FROM carray(?2) AS wanted CROSS JOIN identity AS i ON i.dpid = ?1 AND i.id = wanted.value

-- name: first_device
SELECT first FROM first_device WHERE id = ?

-- name: some_first_device
SELECT 1 FROM first_device LIMIT 1

-- name: person
SELECT generation, state FROM person WHERE dpid = ? AND id = ? AND uuid = ?

-- name: takeovers
SELECT count FROM takeover WHERE day = ? AND device = ?

-- name: devices
-- A person's home has a row among the devices: it is none.
SELECT uuid FROM person WHERE dpid = ?1 AND id = ?2 AND uuid != ?1 || ':' || ?2
ORDER BY generation DESC LIMIT ?3

-- name: ids_of
SELECT dpid, id FROM identity WHERE uuid = ?

-- name: some_move
SELECT 1 FROM move LIMIT 1

-- name: is_moving
SELECT 1 FROM move WHERE dpid = ? AND id = ? LIMIT 1

-- name: moves
SELECT dpid, id, old_uuid, new_uuid, at, generation FROM move ORDER BY generation, dpid, id

-- name: shards
SELECT value FROM meta WHERE key = 'shards'

-- name: oldest_moves
SELECT dpid, id, old_uuid, new_uuid, at, min(generation) FROM move GROUP BY dpid, id

-- name: moving_devices
SELECT old_uuid FROM move UNION SELECT new_uuid FROM move

-- name: moves_of_device
SELECT 1 FROM move WHERE ?1 IN (old_uuid, new_uuid) LIMIT 1

-- name: claim_new
-- Of an id that nobody had.
INSERT INTO identity (dpid, id, uuid, at, generation, state, first) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (dpid, id) DO NOTHING

-- name: claim
-- A new mapping in the place of the one it was decided from (?8).
UPDATE identity SET uuid = ?3, at = ?4, generation = ?5, state = ?6, first = ?7
WHERE dpid = ?1 AND id = ?2 AND generation = ?8

-- name: restate
-- The same mapping, in another authentication state.
UPDATE identity SET at = ?3, state = ?4 WHERE dpid = ?1 AND id = ?2 AND generation = ?5

-- name: link_person
INSERT INTO person VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (dpid, id, uuid) DO UPDATE
SET at = excluded.at, generation = excluded.generation, state = excluded.state

-- name: bound_person
-- The oldest devices beyond the bound (?3) go, but never the owner, nor the home.
DELETE FROM person WHERE dpid = ?1 AND id = ?2 AND uuid IN (
  SELECT uuid FROM person
  WHERE dpid = ?1 AND id = ?2
    AND uuid != coalesce((SELECT uuid FROM identity WHERE dpid = ?1 AND id = ?2), '')
    AND uuid != ?1 || ':' || ?2
  ORDER BY generation DESC LIMIT -1 OFFSET ?3 - 1
)

-- name: add_move
-- One that is there already is the same: a generation is a mapping.
INSERT INTO move (dpid, id, old_uuid, new_uuid, at, generation) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (dpid, id, generation) DO NOTHING

-- name: moved
DELETE FROM move WHERE dpid = ? AND id = ? AND generation = ?

-- name: count_takeovers
INSERT INTO takeover VALUES (?, ?, ?) ON CONFLICT (day, device) DO UPDATE SET count = max(count, excluded.count)

-- name: prune_takeovers
DELETE FROM takeover WHERE (day, device) IN (SELECT day, device FROM takeover WHERE day < ? LIMIT ?)

-- name: shared
SELECT id, dpid, devices, day FROM shared_id ORDER BY day

-- name: note_shared
INSERT INTO shared_id VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET devices = max(devices, excluded.devices), day = excluded.day

-- name: prune_shared
DELETE FROM shared_id WHERE day < ?

-- name: forget_ids_of_device
DELETE FROM identity WHERE uuid = ? RETURNING dpid, id, uuid, first

-- name: forget_person_device
DELETE FROM person WHERE uuid = ?

-- name: forget_id
DELETE FROM identity WHERE dpid = ? AND id = ? RETURNING dpid, id, uuid, first

-- name: forget_person
DELETE FROM person WHERE dpid = ? AND id = ?

-- name: forget_moves
DELETE FROM move WHERE dpid = ? AND id = ?

-- name: remember_first
INSERT OR REPLACE INTO first_device VALUES (?, ?)

-- name: unsettle
DELETE FROM meta WHERE key = 'settled' RETURNING value

-- name: settle
INSERT INTO meta VALUES ('settled', ?)
