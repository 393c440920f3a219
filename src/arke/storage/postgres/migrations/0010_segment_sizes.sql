-- How many members each segment has in a shard, changed with each group: no index covers what changes. What was stored
-- before is counted by a walk, which notes in the shard's row how far it is (nothing: nobody is counted).
CREATE TABLE segment_size (
  shard   integer NOT NULL,
  segment integer NOT NULL,
  members bigint NOT NULL,
  PRIMARY KEY (shard, segment)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.1,
        autovacuum_vacuum_cost_delay = 0);

ALTER TABLE shard ADD COLUMN counted_to bigint;
