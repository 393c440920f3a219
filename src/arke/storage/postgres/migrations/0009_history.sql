-- Figures over time: one subject (kind, number) over a stretch that begins there, in steps of so many seconds (grain).
-- The leader writes the newest block of every subject once a minute.
CREATE TABLE history (
  kind   smallint NOT NULL,
  number bigint NOT NULL,
  grain  integer NOT NULL,
  begins bigint NOT NULL,
  body   bytea NOT NULL,
  PRIMARY KEY (kind, number, grain, begins)
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
-- They come compressed.
ALTER TABLE history ALTER body SET STORAGE EXTERNAL;
CREATE INDEX history_by_age ON history (grain, begins);
