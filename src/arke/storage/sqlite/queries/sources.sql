-- How far other people's topics are read. The tables: migrations/directory.

-- name: take
INSERT INTO source_partition (source, topic, number, epoch, reader, at) VALUES (?1, ?2, ?3, 1, ?4, ?5)
ON CONFLICT (source, topic, number) DO UPDATE SET epoch = epoch + 1, reader = ?4, at = ?5
RETURNING epoch, next, newest, topic_id, life, events, refused, skipped, claim, claimed_at

-- name: holds
SELECT 1 FROM source_partition WHERE source = ? AND topic = ? AND number = ? AND epoch = ?

-- name: advance
UPDATE source_partition SET next = ?5, newest = ?6, topic_id = ?7, life = ?8, events = ?9, refused = ?10, skipped = ?11,
  at = ?12, claim = ?13, claimed_at = ?14
WHERE source = ?1 AND topic = ?2 AND number = ?3 AND epoch = ?4
RETURNING epoch

-- name: release
UPDATE source_partition SET reader = '' WHERE source = ? AND topic = ? AND number = ? AND epoch = ?

-- name: refuse
INSERT OR IGNORE INTO source_refused (source, topic, partition, position, item, at, code, message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: trim_refused
DELETE FROM source_refused WHERE source = ?1 AND topic = ?2 AND number <= (
  SELECT number FROM source_refused WHERE source = ?1 AND topic = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3
)

-- name: partitions
SELECT source, topic, number, reader, next, newest, topic_id, life, events, refused, skipped, at
FROM source_partition ORDER BY source, topic, number

-- name: refused
SELECT source, topic, partition, position, item, at, code, message
FROM source_refused ORDER BY number DESC LIMIT ?

-- name: forget_claims
UPDATE source_partition SET claim = x'' WHERE claimed_at < ? AND claim <> x''
