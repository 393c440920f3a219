-- How many ids of other devices a device has come to have at the public door, per UTC day. device: a keyed hash
-- of its UUID. Arke 0.1 made this table in directories of version 2 without a version of its own.
CREATE TABLE IF NOT EXISTS takeover (
  day    INTEGER NOT NULL,
  device BLOB NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (day, device)
) WITHOUT ROWID;
