-- One shard's store.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- uid: keyed 63-bit hash of the UUID, moved up by one on a collision (an integer key halves the store's cost).
CREATE TABLE profile (
  uid  INTEGER PRIMARY KEY,
  body BLOB NOT NULL
);

-- Which profiles time alone may change next, and when. May be early: see shard/group.py.
CREATE TABLE due (
  at  INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  PRIMARY KEY (at, uid)
) WITHOUT ROWID;

-- The spine: what changed, in order.
CREATE TABLE journal (
  seq  INTEGER PRIMARY KEY,
  at   INTEGER NOT NULL,
  body BLOB NOT NULL
);

-- How far each destination's lane has come: everything up to seq is acknowledged or owed.
CREATE TABLE cursor (
  destination INTEGER PRIMARY KEY,
  seq         INTEGER NOT NULL
);

-- The newest batch run of each destination: what it covers, how far it has come, its counts.
CREATE TABLE batch (
  destination INTEGER PRIMARY KEY,
  number      INTEGER NOT NULL,
  body        BLOB NOT NULL
);

-- What each partner id was last told by each destination.
CREATE TABLE ledger (
  uid         INTEGER NOT NULL,
  destination INTEGER NOT NULL,
  dpid        INTEGER NOT NULL,
  id          TEXT NOT NULL,
  entry       BLOB NOT NULL,
  PRIMARY KEY (uid, destination, dpid, id)
) WITHOUT ROWID;

-- What a destination should know and has not acknowledged after its second attempt.
CREATE TABLE owed (
  destination INTEGER NOT NULL,
  uid         INTEGER NOT NULL,
  since       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  reason      TEXT NOT NULL,
  PRIMARY KEY (destination, uid)
) WITHOUT ROWID;

-- A device that is erased takes what is owed about it along.
CREATE INDEX owed_by_device ON owed (uid);
