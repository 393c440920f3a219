-- Batch runs and schedules. The tables: migrations/0002_directory.sql.

-- name: save
INSERT INTO batch_run (destination, number, slot, finished_at, body) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (destination, number) DO UPDATE SET finished_at = excluded.finished_at, body = excluded.body

-- name: begin
-- Of two nodes that begin one at once, both take the same number.
INSERT INTO batch_run (destination, number, slot, body)
SELECT %(destination)s, %(number)s, %(slot)s, %(body)s
WHERE NOT EXISTS (SELECT FROM batch_run WHERE destination = %(destination)s AND finished_at IS NULL)
ON CONFLICT DO NOTHING RETURNING number

-- name: bound
-- The newest slot stays, however many runs a person has asked for since.
DELETE FROM batch_run
WHERE destination = %(destination)s AND number <= %(number)s AND finished_at IS NOT NULL
  AND (slot IS NULL OR slot < (SELECT max(slot) FROM batch_run WHERE destination = %(destination)s))

-- name: newest
SELECT body FROM batch_run
WHERE destination = %s AND number <= coalesce(%s::bigint, number) ORDER BY number DESC LIMIT %s

-- name: newest_of_each
-- From one destination to the next: the runs before the newest, of years, are not read.
WITH RECURSIVE each (destination) AS (
  SELECT min(destination) FROM batch_run
  UNION ALL
  SELECT (SELECT min(destination) FROM batch_run WHERE destination > each.destination) FROM each
  WHERE destination IS NOT NULL
)
SELECT (SELECT body FROM batch_run b WHERE b.destination = each.destination ORDER BY number DESC LIMIT 1)
FROM each WHERE destination IS NOT NULL ORDER BY destination

-- name: unfinished
SELECT body FROM batch_run WHERE finished_at IS NULL ORDER BY destination, number

-- name: last_slot
SELECT max(slot) FROM batch_run WHERE destination = %s

-- name: scheduled_since
SELECT destination, since FROM batch_schedule

-- name: lock_schedules
-- What is replaced as a whole is replaced by one at a time; readers see the whole before or the whole after.
LOCK TABLE batch_schedule IN SHARE ROW EXCLUSIVE MODE

-- name: forget_schedules
DELETE FROM batch_schedule

-- name: schedule
INSERT INTO batch_schedule (destination, since) SELECT * FROM unnest(%s::bigint[], %s::bigint[])

-- name: presence
SELECT destination, state FROM presence

-- name: lock_presence
LOCK TABLE presence IN SHARE ROW EXCLUSIVE MODE

-- name: forget_presence
DELETE FROM presence

-- name: note_presence
INSERT INTO presence (destination, state) SELECT * FROM unnest(%s::bigint[], %s::text[])
