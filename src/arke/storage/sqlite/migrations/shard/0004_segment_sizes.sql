-- How many members each segment has, changed with each group. What was stored before is counted by a walk, which notes
-- in meta ('counted_to') how far it is: see shard/sizes.py.

CREATE TABLE segment_size (
  segment INTEGER PRIMARY KEY,
  members INTEGER NOT NULL
);
