-- Data files, and who is to hear what they said of people. The tables: migrations/directory.

-- name: begin
INSERT OR IGNORE INTO data_file (name, digest, begun, position, done, body) VALUES (?, ?, ?, 0, 0, x'')

-- name: renew
-- Under a number that no file had.
UPDATE data_file SET number = (SELECT max(number) + 1 FROM data_file), begun = ?3, position = 0, done = 0, body = x''
WHERE name = ?1 AND digest = ?2

-- name: find
SELECT number, begun, position, done, body FROM data_file WHERE name = ? AND digest = ?

-- name: advance
UPDATE data_file SET position = ?, body = ? WHERE number = ?

-- name: finish
UPDATE data_file SET done = 1, body = ? WHERE number = ?

-- name: newest
SELECT name, number, begun, position, done, body FROM data_file WHERE number < ? ORDER BY number DESC LIMIT ?

-- name: filed
-- What versions before 0.2 kept here, until it has moved to the person's home.
SELECT body FROM filed WHERE dpid = ? AND id = ?

-- name: filed_page
SELECT dpid, id, body FROM filed LIMIT ?

-- name: devices
SELECT uuid FROM identity WHERE dpid = ?1 AND id = ?2
UNION SELECT uuid FROM person WHERE dpid = ?1 AND id = ?2

-- name: join
-- A device, where the person has a home (or will have one, of what is filed).
INSERT OR REPLACE INTO joining (dpid, id, uuid)
SELECT ?1, ?2, ?3 WHERE ?3 != ?1 || ':' || ?2 AND (
  EXISTS (SELECT 1 FROM person WHERE dpid = ?1 AND id = ?2 AND uuid = ?1 || ':' || ?2)
  OR EXISTS (SELECT 1 FROM filed WHERE dpid = ?1 AND id = ?2)
)

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

-- name: prune_files
-- The newest one stays, so that its number is not given to another file: feeds know files by their numbers.
DELETE FROM data_file WHERE done AND begun < ? AND number < (SELECT max(number) FROM data_file)
