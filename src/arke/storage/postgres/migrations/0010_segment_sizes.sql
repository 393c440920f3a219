-- How many members each segment has in a shard, changed with each group: no index covers what changes. What was stored
-- before is counted by a walk, which notes in the shard's row how far it is (nothing: nobody is counted). Nodes of an
-- earlier version write beside this one while a cluster is upgraded, and count nobody: counted_epoch is the epoch of the
-- last owner that does. Where it is not that of the last owner, all are counted anew.
CREATE TABLE segment_size (
  shard   integer NOT NULL,
  segment integer NOT NULL,
  members bigint NOT NULL,
  PRIMARY KEY (shard, segment)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.1,
        autovacuum_vacuum_cost_delay = 0);

ALTER TABLE shard ADD COLUMN counted_to bigint, ADD COLUMN counted_epoch bigint;
