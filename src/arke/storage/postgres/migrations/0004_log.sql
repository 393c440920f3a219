-- The log of events where PostgreSQL carries it, who reads which shard of it, and what nobody could read of any log.

-- The number of the newest message of each shard. Whoever appends takes the next ones under the row's lock, which it
-- holds until it has committed: so messages become visible in the order of their numbers, and a reader that has seen
-- number 8 never meets a 7 later.
CREATE TABLE log_end (
  shard  integer PRIMARY KEY,
  number bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- Messages, each the events of some milliseconds. Rows live for seconds: they are deleted behind what their shard
-- has stored, and vacuum follows at once, so that the table stays as large as what is under way.
CREATE TABLE log (
  shard  integer NOT NULL,
  number bigint NOT NULL,
  at     timestamptz NOT NULL DEFAULT now(),
  body   bytea NOT NULL,
  PRIMARY KEY (shard, number)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0,
        toast.autovacuum_vacuum_threshold = 1000, toast.autovacuum_vacuum_scale_factor = 0,
        toast.autovacuum_vacuum_cost_delay = 0);
-- Compressing costs the server more than the disk for seconds.
ALTER TABLE log ALTER body SET STORAGE EXTERNAL;

-- Workers that share the shards by leases; seen: when each last said that it is there.
CREATE TABLE worker (
  name text PRIMARY KEY,
  seen timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- Whose each shard is: nobody's if worker is null or has not been seen for the length of a lease.
CREATE TABLE shard_lease (
  shard  integer PRIMARY KEY,
  worker text
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- Messages, or single events in them (item; -1: all of the message), that could not be read. source: the topic, or
-- `postgresql`.
CREATE TABLE refused (
  source   text NOT NULL,
  shard    integer NOT NULL,
  position bigint NOT NULL,
  item     integer NOT NULL,
  at       timestamptz NOT NULL DEFAULT now(),
  reason   text NOT NULL,
  body     bytea NOT NULL,
  PRIMARY KEY (source, shard, position, item)
);
