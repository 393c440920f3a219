-- What becomes of a store's files that come out of a backup. The tables: migrations. `{table}` and `{columns}` are
-- put in from the list of what must not be forgotten.

-- name: put_meta
INSERT OR REPLACE INTO meta VALUES (?, ?)

-- name: meta
SELECT value FROM meta WHERE key = ?

-- name: make
CREATE TABLE {table} ({columns})

-- name: put
INSERT INTO {table} ({columns}) VALUES ({marks})

-- name: rows
SELECT {columns} FROM {table}

-- name: empty
DELETE FROM {table}

-- name: put_request
INSERT OR REPLACE INTO privacy_request (number, at, done, body) VALUES (?, ?, ?, ?)

-- name: wanted_by
SELECT hash FROM suppressed_by WHERE request = ?

-- name: ids
SELECT dpid, id FROM identity UNION SELECT dpid, id FROM person

-- name: profiles
SELECT body FROM profile

-- name: presence
UPDATE presence SET state = CASE WHEN state IN ('away', 'doubted_away') THEN 'doubted_away' ELSE 'doubted' END

-- name: presence_of_catalog
-- Of those that are on in the catalog in force, and of which that was not noted yet when the backup was made.
INSERT OR IGNORE INTO presence (destination, state)
SELECT json_extract(one.value, '$.id'), 'doubted'
FROM catalog, json_each(CAST(catalog.body AS TEXT), '$.destinations') AS one
WHERE catalog.version = (SELECT max(version) FROM catalog)
  AND coalesce(json_extract(one.value, '$.enabled'), 1)
