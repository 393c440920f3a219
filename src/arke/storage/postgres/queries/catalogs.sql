-- Applied catalogs. The table: migrations/0002_directory.sql.

-- name: get
SELECT version, at, body, mapping_versions, note, retired FROM catalog WHERE version = %s

-- name: newest
SELECT version, at, body, mapping_versions, note, retired FROM catalog ORDER BY version DESC LIMIT 1

-- name: newest_version
SELECT coalesce(max(version), 0) FROM catalog

-- name: versions
SELECT version, at, note FROM catalog WHERE version < %s ORDER BY version DESC LIMIT %s

-- name: add
INSERT INTO catalog (version, at, body, mapping_versions, note, retired) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING RETURNING version
