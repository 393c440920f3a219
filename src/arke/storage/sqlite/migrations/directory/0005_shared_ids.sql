-- Ids that very many devices shared on one day: most likely what a tag writes for everybody. id: a keyed hash of
-- `dpid:id`; devices: the most on a day, as far as they were counted; day: the last such one, days since 1970, UTC.
CREATE TABLE shared_id (
  id      BLOB PRIMARY KEY,
  dpid    INTEGER NOT NULL,
  devices INTEGER NOT NULL,
  day     INTEGER NOT NULL
) WITHOUT ROWID;
