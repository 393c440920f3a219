-- How often the suppression list has changed. Whoever changes it holds this row last and until it has committed, so the
-- changes have the order of their numbers, and whoever reads it with the list has seen all up to that one.
CREATE TABLE suppression_edition (
  single  boolean PRIMARY KEY DEFAULT true CHECK (single),
  edition bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 0);

INSERT INTO suppression_edition DEFAULT VALUES;
