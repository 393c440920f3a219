-- A cluster on several servers. Each has all tables; the directory's are used on the one that cluster.store names, and
-- each shard's on the one that the map says.

-- Which server each shard is on, by its name in the settings (`store`: the directory's own). made: its row has been
-- made there once, so that one that is missing later is a loss and not a beginning. target: the server that it is being
-- copied to; nobody may own it meanwhile. leftover: the server that still has rows of it which nobody reads any more.
-- owner, epoch: as the shard's own row has them, so that one question tells who owns what; the row there decides.
CREATE TABLE shard_map (
  shard    integer PRIMARY KEY,
  server   text NOT NULL,
  made     boolean NOT NULL DEFAULT false,
  target   text,
  leftover text,
  owner    text COLLATE "C",
  epoch    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);
INSERT INTO shard_map (shard, server, made, owner, epoch) SELECT shard, 'store', true, owner, epoch FROM shard;

-- Nobody may take a shard that is being copied, from here or to here.
ALTER TABLE shard ADD COLUMN moving boolean NOT NULL DEFAULT false;
