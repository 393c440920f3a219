-- Batch runs and schedules. The tables: migrations/directory.

-- name: save
INSERT INTO batch_run VALUES (?, ?, ?, ?, ?)
ON CONFLICT (destination, number) DO UPDATE SET finished_at = excluded.finished_at, body = excluded.body

-- name: begin
INSERT INTO batch_run SELECT ?1, ?2, ?3, NULL, ?4
WHERE NOT EXISTS (SELECT 1 FROM batch_run WHERE destination = ?1 AND (finished_at IS NULL OR number = ?2))
RETURNING number

-- name: bound
-- The newest slot stays, however many runs a person has asked for since.
DELETE FROM batch_run
WHERE destination = ?1 AND number <= ?2 AND finished_at IS NOT NULL
  AND (slot IS NULL OR slot < (SELECT max(slot) FROM batch_run WHERE destination = ?1))

-- name: newest
SELECT body FROM batch_run WHERE destination = ? AND number <= coalesce(?, number) ORDER BY number DESC LIMIT ?

-- name: newest_of_each
-- From one destination to the next: the runs before the newest, of years, are not read.
WITH RECURSIVE each (destination) AS (
  SELECT min(destination) FROM batch_run
  UNION ALL
  SELECT (SELECT min(destination) FROM batch_run WHERE destination > each.destination) FROM each
  WHERE destination IS NOT NULL
)
SELECT (SELECT body FROM batch_run b WHERE b.destination = each.destination ORDER BY number DESC LIMIT 1)
FROM each WHERE destination IS NOT NULL

-- name: unfinished
SELECT body FROM batch_run WHERE finished_at IS NULL

-- name: last_slot
SELECT max(slot) FROM batch_run WHERE destination = ?

-- name: scheduled_since
SELECT destination, since FROM batch_schedule

-- name: forget_schedules
DELETE FROM batch_schedule

-- name: schedule
INSERT INTO batch_schedule VALUES (?, ?)

-- name: presence
SELECT destination, state FROM presence

-- name: forget_presence
DELETE FROM presence

-- name: note_presence
INSERT INTO presence VALUES (?, ?)
