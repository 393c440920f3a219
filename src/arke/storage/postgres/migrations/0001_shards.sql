-- All shards of a cluster in one set of tables, the shard first in every key.

CREATE TABLE schema_version (version integer NOT NULL);

-- Who owns a shard (nobody: null), and how far it has come. Changed with each group, so no index may cover what
-- changes, and its page has room: updates then stay in the page.
-- epoch: drawn anew whenever the shard is taken; microseconds of the clock, so that a fail-over to an older state
-- gives none twice. clean: the owner before had let go of it. position: in the log, up to which events are in the
-- store. commits: how many there were; tells whether one whose answer was lost is stored. last_seq: the journal's end.
-- profiles, people: how many there are. refreshed: how far profiles were brought to which catalog.
CREATE TABLE shard (
  shard     integer PRIMARY KEY,
  epoch     bigint NOT NULL DEFAULT 0,
  owner     text,
  clean     boolean NOT NULL DEFAULT true,
  proved    timestamptz,
  position  bigint NOT NULL DEFAULT 0,
  commits   bigint NOT NULL DEFAULT 0,
  last_seq  bigint NOT NULL DEFAULT 0,
  uid_key   bytea NOT NULL,
  profiles  bigint NOT NULL DEFAULT 0,
  people    bigint NOT NULL DEFAULT 0,
  refreshed bytea
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- uid: keyed hash of the UUID, moved up by one on a collision.
CREATE TABLE profile (
  shard integer NOT NULL,
  uid   bigint NOT NULL,
  body  bytea NOT NULL,
  PRIMARY KEY (shard, uid)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0);
-- In its row while it fits a page: out of line each change would write new chunks and their index.
ALTER TABLE profile ALTER body SET STORAGE MAIN;

-- Which profiles time alone may change next, and when.
CREATE TABLE due (
  shard integer NOT NULL,
  at    bigint NOT NULL,
  uid   bigint NOT NULL,
  PRIMARY KEY (shard, at, uid)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0);

-- What changed, in order: the records of a group in one row, so that trimming deletes few.
CREATE TABLE journal (
  shard integer NOT NULL,
  last  bigint NOT NULL,
  first bigint NOT NULL,
  until bigint NOT NULL,
  count integer NOT NULL,
  body  bytea NOT NULL,
  PRIMARY KEY (shard, last)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE cursor (
  shard       integer NOT NULL,
  destination integer NOT NULL,
  seq         bigint NOT NULL,
  PRIMARY KEY (shard, destination)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE batch (
  shard       integer NOT NULL,
  destination integer NOT NULL,
  number      bigint NOT NULL,
  body        bytea NOT NULL,
  PRIMARY KEY (shard, destination)
) WITH (fillfactor = 50);

CREATE TABLE ledger (
  shard       integer NOT NULL,
  uid         bigint NOT NULL,
  destination integer NOT NULL,
  dpid        bigint NOT NULL,
  id          text COLLATE "C" NOT NULL,
  entry       bytea NOT NULL,
  PRIMARY KEY (shard, uid, destination, dpid, id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE owed (
  shard       integer NOT NULL,
  destination integer NOT NULL,
  uid         bigint NOT NULL,
  since       bigint NOT NULL,
  seq         bigint NOT NULL,
  reason      text NOT NULL,
  tries       integer NOT NULL,
  tried       double precision NOT NULL,
  due         bigint NOT NULL,
  share       integer NOT NULL,
  in_hand     boolean NOT NULL DEFAULT false,
  PRIMARY KEY (shard, destination, uid)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX owed_by_device ON owed (shard, uid);
CREATE INDEX owed_by_due ON owed (shard, destination, due, uid);
CREATE INDEX owed_by_try ON owed (shard, destination, tried, uid);
CREATE INDEX owed_in_hand ON owed (shard, destination, uid) WHERE in_hand;

-- Events that named themselves and have counted, for a day. name: a keyed hash.
CREATE TABLE counted_event (
  shard integer NOT NULL,
  uid   bigint NOT NULL,
  name  bigint NOT NULL,
  at    bigint NOT NULL,
  PRIMARY KEY (shard, uid, name)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX counted_event_by_time ON counted_event (shard, at);

-- Traits that somebody has realised, and a hash of the rule each had then.
CREATE TABLE realised_trait (
  shard integer NOT NULL,
  trait bigint NOT NULL,
  rule  bigint NOT NULL,
  PRIMARY KEY (shard, trait)
);
