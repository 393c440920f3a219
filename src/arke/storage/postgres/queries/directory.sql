-- What the directory knows of itself. The tables: migrations/0002_directory.sql.

-- name: get
SELECT value FROM meta WHERE key = %s

-- name: add
-- The first one counts, whoever else comes at the same time.
INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO NOTHING

-- name: set
INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: drop
DELETE FROM meta WHERE key = %s

-- name: drop_unchanged
DELETE FROM meta WHERE key = %s AND value = %s

-- name: reader_in_the_way
-- Whether some transaction may still see rows that were deleted by the one of this number.
SELECT EXISTS (
  SELECT 1 FROM pg_stat_activity
  WHERE pid <> pg_backend_pid()
    AND (age(backend_xmin) >= age(%(deleter)s::text::xid) OR age(backend_xid) >= age(%(deleter)s::text::xid))
) OR EXISTS (SELECT 1 FROM pg_prepared_xacts)
  OR EXISTS (SELECT 1 FROM pg_replication_slots WHERE age(xmin) >= age(%(deleter)s::text::xid))
