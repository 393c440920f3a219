-- Applied catalogs. The table: migrations/directory.

-- name: get
SELECT version, at, body, mapping_versions, note, retired FROM catalog WHERE version = ?

-- name: newest
SELECT version, at, body, mapping_versions, note, retired FROM catalog ORDER BY version DESC LIMIT 1

-- name: newest_version
SELECT coalesce(max(version), 0) FROM catalog

-- name: versions
SELECT version, at, note FROM catalog WHERE version < ? ORDER BY version DESC LIMIT ?

-- name: add
INSERT INTO catalog VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING version
