-- Profiles with ids under mappings that the directory may not have on disk yet, up to this generation: see
-- docs/mechanisms/identity.md. They go once it has.
CREATE TABLE promise (
  generation INTEGER NOT NULL,
  uid        INTEGER NOT NULL,
  PRIMARY KEY (generation, uid)
) WITHOUT ROWID;
