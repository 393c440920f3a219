-- Files sent to any node. The tables: migrations/0005_operating.sql.

-- name: begin
INSERT INTO upload (ticket, job) VALUES (%s, %s)

-- name: add
INSERT INTO upload_part (ticket, number, body) VALUES (%s, %s, %s)

-- name: touch
UPDATE upload SET touched = clock_timestamp() WHERE ticket = %s

-- name: complete
UPDATE upload SET complete = true, touched = clock_timestamp() WHERE ticket = %s

-- name: drop
DELETE FROM upload WHERE ticket = %s

-- name: get
SELECT job, lines, total, receipt FROM upload WHERE ticket = %s

-- name: part
SELECT body FROM upload_part WHERE ticket = %s AND number = %s

-- name: waiting
SELECT ticket FROM upload WHERE complete AND receipt IS NULL ORDER BY ticket

-- name: show
UPDATE upload SET lines = %s, total = %s WHERE ticket = %s

-- name: finish
UPDATE upload SET receipt = %s, touched = clock_timestamp() WHERE ticket = %s AND receipt IS NULL

-- name: forget_parts
DELETE FROM upload_part WHERE ticket = %s

-- name: prune
DELETE FROM upload
WHERE (receipt IS NOT NULL AND touched < clock_timestamp() - make_interval(secs => %s))
   OR (NOT complete AND touched < clock_timestamp() - make_interval(secs => %s))
