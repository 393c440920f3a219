-- How many ids of other devices a device has come to have at the public door, per UTC day. device: a keyed hash
-- of its UUID. Run at every start, so that a directory of an earlier version gets the table too.

CREATE TABLE IF NOT EXISTS takeover (
  day    INTEGER NOT NULL,
  device BLOB NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (day, device)
) WITHOUT ROWID;
