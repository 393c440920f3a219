-- Figures over time: one subject (kind, number) over a stretch that begins there, in steps of so many seconds (grain).
CREATE TABLE history (
  kind   INTEGER NOT NULL,
  number INTEGER NOT NULL,
  grain  INTEGER NOT NULL,
  begins INTEGER NOT NULL,
  body   BLOB NOT NULL,
  PRIMARY KEY (kind, number, grain, begins)
);
CREATE INDEX history_by_age ON history (grain, begins);
