-- How far the partitions of other people's topics are read. next is null before anything was. claim: what is decided
-- of the messages from next on that may be under way.
CREATE TABLE source_partition (
  source     TEXT NOT NULL,
  topic      TEXT NOT NULL,
  number     INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  reader     TEXT NOT NULL,
  at         INTEGER NOT NULL,
  next       INTEGER,
  newest     INTEGER NOT NULL DEFAULT 0,
  topic_id   TEXT NOT NULL DEFAULT '',
  life       INTEGER NOT NULL DEFAULT 0,
  events     INTEGER NOT NULL DEFAULT 0,
  refused    INTEGER NOT NULL DEFAULT 0,
  skipped    INTEGER NOT NULL DEFAULT 0,
  claimed_at INTEGER NOT NULL DEFAULT 0,
  claim      BLOB NOT NULL DEFAULT x'',
  PRIMARY KEY (source, topic, number)
);

-- Events of theirs that were not taken, the newest of each topic.
CREATE TABLE source_refused (
  number    INTEGER PRIMARY KEY AUTOINCREMENT,
  source    TEXT NOT NULL,
  topic     TEXT NOT NULL,
  partition INTEGER NOT NULL,
  position  INTEGER NOT NULL,
  item      INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  code      TEXT NOT NULL,
  message   TEXT NOT NULL,
  UNIQUE (source, topic, partition, position, item)
);
