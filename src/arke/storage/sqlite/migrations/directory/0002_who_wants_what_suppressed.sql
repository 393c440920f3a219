-- Where an id came from, which request wants what suppressed, and what was lifted.

-- The keyed hash of the device that the id was linked to first, NULL where that is the one that owns it now.
ALTER TABLE identity ADD COLUMN first BLOB;

-- Which privacy requests want a hash suppressed, so that one can be lifted and leaves what another one wants.
-- Request 0 stands for those made before this table, which did not note it. device: the hash is a UUID's.
CREATE TABLE suppressed_by (
  request INTEGER NOT NULL,
  hash    BLOB NOT NULL,
  device  INTEGER NOT NULL,
  PRIMARY KEY (request, hash)
) WITHOUT ROWID;

CREATE INDEX suppressed_by_hash ON suppressed_by (hash);

INSERT INTO suppressed_by SELECT 0, hash, 0 FROM suppressed;

-- Hashes of devices whose suppression was lifted, and when: the mark that such a device opted out before then
-- goes when it is heard of again.
CREATE TABLE lifted (
  hash BLOB PRIMARY KEY,
  at   INTEGER NOT NULL
) WITHOUT ROWID;

-- Whose an id was first that has been forgotten with its device: keyed hashes of `dpid:id` and of the UUID.
CREATE TABLE first_device (
  id    BLOB PRIMARY KEY,
  first BLOB NOT NULL
) WITHOUT ROWID;
