-- Data files, what they said of people, and who is to hear it. The tables: migrations/directory.

-- name: begin
INSERT OR IGNORE INTO data_file (name, digest, begun, position, done, body) VALUES (?, ?, ?, 0, 0, x'')

-- name: drop
DELETE FROM data_file WHERE name = ? AND digest = ?

-- name: find
SELECT number, begun, position, done, body FROM data_file WHERE name = ? AND digest = ?

-- name: advance
UPDATE data_file SET position = ?, body = ? WHERE number = ?

-- name: finish
UPDATE data_file SET done = 1, body = ? WHERE number = ?

-- name: file
INSERT OR REPLACE INTO filed VALUES (?, ?, ?, ?)

-- name: filed
SELECT body FROM filed WHERE dpid = ? AND id = ?

-- name: devices
SELECT uuid FROM identity WHERE dpid = ?1 AND id = ?2
UNION SELECT uuid FROM person WHERE dpid = ?1 AND id = ?2

-- name: join
INSERT OR REPLACE INTO joining (dpid, id, uuid) SELECT dpid, id, ?3 FROM filed WHERE dpid = ?1 AND id = ?2

-- name: joining
SELECT number, dpid, id, uuid FROM joining ORDER BY number LIMIT ?

-- name: joined
DELETE FROM joining WHERE number = ?

-- name: forget_filed
DELETE FROM filed WHERE dpid = ? AND id = ?

-- name: forget_joining
DELETE FROM joining WHERE dpid = ? AND id = ?

-- name: forget_joining_device
DELETE FROM joining WHERE uuid = ?

-- name: prune_filed
DELETE FROM filed WHERE (dpid, id) IN (SELECT dpid, id FROM filed WHERE at < ? LIMIT ?)

-- name: prune_files
DELETE FROM data_file WHERE done AND begun < ?
