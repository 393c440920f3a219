-- The nodes of a cluster: where each is asked by others, what it does, and when it was last there. Rows of those that
-- went away without a word are deleted by and by.
CREATE TABLE node (
  name    text COLLATE "C" PRIMARY KEY,
  address text NOT NULL,
  role    text NOT NULL,
  version text NOT NULL,
  catalog bigint NOT NULL,
  started timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen    timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

-- Who does what only one node may do: batches by their schedule, privacy requests, files. Nobody's once it has not been
-- seen for the length of a lease. turn: how often it changed hands.
CREATE TABLE leader (
  one    boolean PRIMARY KEY DEFAULT true CHECK (one),
  holder text COLLATE "C",
  turn   bigint NOT NULL DEFAULT 0,
  seen   timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);
INSERT INTO leader DEFAULT VALUES;
