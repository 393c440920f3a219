-- What each node says of itself: NodeFigures as JSON.
ALTER TABLE node ADD COLUMN figures bytea NOT NULL DEFAULT '{}';

-- Data files that were sent to any node, until the leader has loaded them; then their receipts. lines and total: how far
-- it has come. touched: when something last became of it.
CREATE TABLE upload (
  ticket   text COLLATE "C" PRIMARY KEY,
  job      bytea NOT NULL,
  complete boolean NOT NULL DEFAULT false,
  lines    bigint NOT NULL DEFAULT 0,
  total    bigint NOT NULL DEFAULT 0,
  receipt  bytea,
  touched  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The bytes of a file in parts, in order.
CREATE TABLE upload_part (
  ticket text COLLATE "C" NOT NULL REFERENCES upload ON DELETE CASCADE,
  number integer NOT NULL,
  body   bytea NOT NULL,
  PRIMARY KEY (ticket, number)
);
-- Files are packed already, or read once.
ALTER TABLE upload_part ALTER body SET STORAGE EXTERNAL;
