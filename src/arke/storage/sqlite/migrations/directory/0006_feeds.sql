-- Who is in by files that are the whole audience (mode: mirror).

-- One trait (kind 0) or external segment (kind 1) of one feed. file: the data file that last began, at: the newest time
-- in a name.
CREATE TABLE feed (
  number  INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  dpid    INTEGER NOT NULL,
  kind    INTEGER NOT NULL,
  subject INTEGER NOT NULL,
  file    INTEGER NOT NULL DEFAULT 0,
  at      INTEGER NOT NULL DEFAULT 0,
  UNIQUE (name, dpid, kind, subject)
);
CREATE INDEX feed_of_subject ON feed (kind, subject);

-- The ids that are in, and the file that said so last. named: the file that was last found to name it, before anything
-- of it counted.
CREATE TABLE fed (
  feed  INTEGER NOT NULL,
  id    TEXT NOT NULL,
  file  INTEGER NOT NULL,
  named INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (feed, id)
) WITHOUT ROWID;
