-- From schema version 1 to 2: where an id came from, who wants what suppressed, and what was lifted. See
-- directory.sql for what the tables mean.

ALTER TABLE identity ADD COLUMN first BLOB;

CREATE TABLE suppressed_by (
  request INTEGER NOT NULL,
  hash    BLOB NOT NULL,
  device  INTEGER NOT NULL,
  PRIMARY KEY (request, hash)
) WITHOUT ROWID;

CREATE INDEX suppressed_by_hash ON suppressed_by (hash);

CREATE TABLE lifted (
  hash BLOB PRIMARY KEY,
  at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE first_device (
  id    BLOB PRIMARY KEY,
  first BLOB NOT NULL
) WITHOUT ROWID;

INSERT INTO suppressed_by SELECT 0, hash, 0 FROM suppressed;
