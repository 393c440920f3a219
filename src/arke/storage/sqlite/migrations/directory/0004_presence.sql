-- How each destination stands that was ever switched on: on, away (switched off or removed), or back (on again, and
-- what changed meanwhile is still to be told). Those that had batches were on.
CREATE TABLE presence (
  destination INTEGER PRIMARY KEY,
  state       TEXT NOT NULL
);

INSERT INTO presence SELECT DISTINCT destination, 'on' FROM batch_run;
