-- How far the partitions of other people's topics are read, by which node. next is null before anything was. claim:
-- what is decided of the messages from next on that may be under way, so that another reader decides nothing else.
CREATE TABLE source_partition (
  source     text NOT NULL,
  topic      text NOT NULL,
  number     integer NOT NULL,
  epoch      bigint NOT NULL,
  reader     text NOT NULL,
  at         bigint NOT NULL,
  next       bigint,
  newest     bigint NOT NULL DEFAULT 0,
  topic_id   text NOT NULL DEFAULT '',
  life       integer NOT NULL DEFAULT 0,
  events     bigint NOT NULL DEFAULT 0,
  refused    bigint NOT NULL DEFAULT 0,
  skipped    bigint NOT NULL DEFAULT 0,
  claimed_at bigint NOT NULL DEFAULT 0,
  claim      bytea NOT NULL DEFAULT '',
  PRIMARY KEY (source, topic, number)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0, toast.autovacuum_vacuum_threshold = 1000,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_cost_delay = 0);
-- Compressing costs the server more than the disk for a moment.
ALTER TABLE source_partition ALTER claim SET STORAGE EXTERNAL;

-- Events of theirs that were not taken, the newest of each topic.
CREATE TABLE source_refused (
  number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source    text NOT NULL,
  topic     text NOT NULL,
  partition integer NOT NULL,
  position  bigint NOT NULL,
  item      integer NOT NULL,
  at        bigint NOT NULL,
  code      text NOT NULL,
  message   text NOT NULL,
  UNIQUE (source, topic, partition, position, item)
);
CREATE INDEX source_refused_by_topic ON source_refused (source, topic, number);
