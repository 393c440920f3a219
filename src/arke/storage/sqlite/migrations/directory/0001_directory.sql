-- The directory: what belongs to no shard.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- Which device owns a partner id now, and under which mapping. Of a cross-device id: the device that speaks for
-- it, with the authentication state (0 unknown, 1 authenticated, 2 logged out) that made it so.
CREATE TABLE identity (
  dpid       INTEGER NOT NULL,
  id         TEXT NOT NULL,
  uuid       TEXT NOT NULL,
  at         INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  state      INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (dpid, id)
) WITHOUT ROWID;

CREATE INDEX identity_by_device ON identity (uuid);

-- All devices of a cross-device id; the higher generation was linked later.
CREATE TABLE person (
  dpid       INTEGER NOT NULL,
  id         TEXT NOT NULL,
  uuid       TEXT NOT NULL,
  at         INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  state      INTEGER NOT NULL,
  PRIMARY KEY (dpid, id, uuid)
) WITHOUT ROWID;

CREATE INDEX person_by_device ON person (uuid);

-- Partner ids on their way from one device to another: the old one must still let go.
CREATE TABLE move (
  generation INTEGER PRIMARY KEY,
  dpid       INTEGER NOT NULL,
  id         TEXT NOT NULL,
  old_uuid   TEXT NOT NULL,
  new_uuid   TEXT NOT NULL,
  at         INTEGER NOT NULL
);

-- Who opted out, as keyed hashes of UUIDs and of partner ids.
CREATE TABLE suppressed (
  hash BLOB PRIMARY KEY,
  at   INTEGER NOT NULL
) WITHOUT ROWID;

-- Requests to opt out or to be deleted. body names devices and ids while the request is open (done = 0), and
-- keeps nothing but keyed hashes of them afterwards.
CREATE TABLE privacy_request (
  number INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  done   INTEGER NOT NULL,
  body   BLOB NOT NULL
);

CREATE INDEX privacy_open ON privacy_request (number) WHERE done = 0;

-- Every catalog version ever applied. mapping_versions: JSON, destination -> version of its last mapping change.
-- retired: JSON, destination -> alias that only earlier versions mapped -> segment it stood for.
CREATE TABLE catalog (
  version          INTEGER PRIMARY KEY,
  at               INTEGER NOT NULL,
  body             BLOB NOT NULL,
  mapping_versions BLOB NOT NULL,
  note             TEXT NOT NULL,
  retired          BLOB NOT NULL
);

-- Batch runs over all shards. slot: when it was due, NULL where a person asked for it.
CREATE TABLE batch_run (
  destination INTEGER NOT NULL,
  number      INTEGER NOT NULL,
  slot        INTEGER,
  finished_at INTEGER,
  body        BLOB NOT NULL,
  PRIMARY KEY (destination, number)
) WITHOUT ROWID;

-- Since when each destination's batch schedule is in force.
CREATE TABLE batch_schedule (
  destination INTEGER PRIMARY KEY,
  since       INTEGER NOT NULL
);

-- What operators did, each entry sealed with the one before it. No personal data.
CREATE TABLE audit (
  number INTEGER PRIMARY KEY,
  body   BLOB NOT NULL,
  seal   BLOB NOT NULL
);

CREATE TABLE token (
  id      TEXT PRIMARY KEY,
  hash    BLOB NOT NULL UNIQUE,
  body    BLOB NOT NULL
) WITHOUT ROWID;

-- Data files by name and digest: when each was first begun, how far it has come, and its counters or receipt.
CREATE TABLE data_file (
  number   INTEGER PRIMARY KEY,
  name     TEXT NOT NULL,
  digest   BLOB NOT NULL,
  begun    INTEGER NOT NULL,
  position INTEGER NOT NULL,
  done     INTEGER NOT NULL,
  body     BLOB NOT NULL,
  UNIQUE (name, digest)
);

-- What files said of cross-device ids, for devices that they are linked to later.
CREATE TABLE filed (
  dpid INTEGER NOT NULL,
  id   TEXT NOT NULL,
  at   INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (dpid, id)
) WITHOUT ROWID;
CREATE INDEX filed_at ON filed (at);

-- Devices that what is filed under an id is still to be told to. A row that comes again gets a new number.
CREATE TABLE joining (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  dpid   INTEGER NOT NULL,
  id     TEXT NOT NULL,
  uuid   TEXT NOT NULL,
  UNIQUE (dpid, id, uuid)
);
