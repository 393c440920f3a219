-- Events that named themselves (`event_id`) and have counted, for a day: a device sending one again changes nothing.
-- `name` is a keyed hash.
CREATE TABLE counted_event (
  uid  INTEGER NOT NULL,
  name INTEGER NOT NULL,
  at   INTEGER NOT NULL,
  PRIMARY KEY (uid, name)
) WITHOUT ROWID;

CREATE INDEX counted_event_by_time ON counted_event (at);

-- Traits that somebody has realised, and a hash of the rule each had then.
CREATE TABLE realised_trait (
  trait INTEGER PRIMARY KEY,
  rule  INTEGER NOT NULL
);
