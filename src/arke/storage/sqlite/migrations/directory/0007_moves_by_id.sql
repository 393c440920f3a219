-- Mappings are numbered an id, so that any number of engines may make them: moves of two ids may have the same number.
CREATE TABLE move_of_id (
  dpid       INTEGER NOT NULL,
  id         TEXT NOT NULL,
  generation INTEGER NOT NULL,
  old_uuid   TEXT NOT NULL,
  new_uuid   TEXT NOT NULL,
  at         INTEGER NOT NULL,
  PRIMARY KEY (dpid, id, generation)
) WITHOUT ROWID;

INSERT INTO move_of_id (dpid, id, generation, old_uuid, new_uuid, at)
SELECT dpid, id, generation, old_uuid, new_uuid, at FROM move;

DROP TABLE move;

ALTER TABLE move_of_id RENAME TO move;
