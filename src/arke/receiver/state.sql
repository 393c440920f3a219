-- Who is in which segment, by what each destination's messages said last.
CREATE TABLE IF NOT EXISTS membership (
    destination_id TEXT NOT NULL,
    id_type        TEXT NOT NULL,      -- User_DPID as text; empty where the message carries none
    id             TEXT NOT NULL,      -- DataPartner_UUID, or AAM_UUID where that is blank
    segment_id     TEXT NOT NULL,
    active         INTEGER NOT NULL,
    date_time_s    INTEGER NOT NULL,   -- epoch seconds of the segment's DateTime
    process_time_s INTEGER NOT NULL,   -- epoch seconds of the message's ProcessTime
    aam_uuid       TEXT NOT NULL,
    PRIMARY KEY (destination_id, id_type, id, segment_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS membership_by_id ON membership (id);
CREATE INDEX IF NOT EXISTS membership_by_uuid ON membership (aam_uuid);
