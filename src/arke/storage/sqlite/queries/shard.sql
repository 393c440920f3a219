-- What a shard reads and writes. `?1` is an ascending list of uids where it is a `carray`, which is gone through one by one
-- (after IN, SQLite would make a table of it first); `{segments}` stands for a list of integers that is put together for each
-- call; a statement that inserts one row is made to insert many (see shard_writes.py).

-- name: profiles
SELECT p.uid, p.body FROM carray(?1) AS wanted CROSS JOIN profile AS p ON p.uid = wanted.value

-- name: ledger
-- By uid, DPID and id, as the list and the key have them.
SELECT l.uid, l.dpid, l.id, l.entry
FROM carray(?1) AS wanted CROSS JOIN ledger AS l ON l.uid = wanted.value AND l.destination = ?2

-- name: ledger_rows
-- Likewise.
SELECT l.uid, l.destination, l.dpid, l.id, l.entry FROM carray(?1) AS wanted CROSS JOIN ledger AS l ON l.uid = wanted.value

-- name: owed
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed WHERE destination = ?2 AND uid IN carray(?1)

-- name: owed_rows
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed WHERE uid IN carray(?1) ORDER BY uid, destination

-- name: owed_page
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed WHERE (destination, uid) > (?, ?)
ORDER BY destination, uid LIMIT ?

-- name: owed_page_of_destination
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed WHERE (destination, uid) > (?, ?) AND destination = ?
ORDER BY destination, uid LIMIT ?

-- name: owed_due
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE destination = ? AND due <= ? AND (due, uid) > (?, ?) ORDER BY due, uid LIMIT ?

-- name: owed_tried
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE destination = ? AND tried <= ? AND (tried, uid) > (?, ?) ORDER BY tried, uid LIMIT ?

-- name: owed_in_hand
SELECT uid FROM owed WHERE destination = ? AND in_hand

-- name: next_owed
SELECT min(due) FROM owed WHERE destination = ?

-- name: owed_counts
SELECT destination, count(*) FROM owed GROUP BY destination

-- name: journal
SELECT body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?

-- name: first_seq
SELECT coalesce(min(seq), 0) FROM journal

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM journal

-- name: cursors
SELECT destination, seq FROM cursor

-- name: batch
SELECT body FROM batch WHERE destination = ?

-- name: batches
SELECT body FROM batch ORDER BY destination

-- name: due
SELECT at, uid FROM due WHERE at <= ? ORDER BY at, uid LIMIT ?

-- name: next_due
SELECT min(at) FROM due

-- name: backfill_position
SELECT value FROM meta WHERE key = 'refreshed'

-- name: count_profiles
SELECT count(*) FROM profile

-- name: count_people
-- Counted with each group: only a profile itself says whether it is a person's home.
SELECT value FROM meta WHERE key = 'people'

-- name: add_people
INSERT INTO meta VALUES ('people', ?) ON CONFLICT (key) DO UPDATE SET value = value + excluded.value

-- name: uids
SELECT uid FROM profile WHERE uid > ? ORDER BY uid LIMIT ?

-- name: profile_bodies
SELECT uid, body FROM profile WHERE uid > ? ORDER BY uid LIMIT ?

-- name: uid_key
SELECT value FROM meta WHERE key = 'uid_key'

-- name: keep_uid_key
INSERT INTO meta VALUES ('uid_key', ?)

-- name: counted_event
SELECT at FROM counted_event WHERE uid = ? AND name = ?

-- name: put_counted_event
INSERT INTO counted_event VALUES (?, ?, ?) ON CONFLICT (uid, name) DO UPDATE SET at = excluded.at

-- name: erase_counted_events
DELETE FROM counted_event WHERE uid = ?

-- name: trim_counted_events
DELETE FROM counted_event WHERE (uid, name) IN (
  SELECT uid, name FROM counted_event WHERE at <= ? ORDER BY at LIMIT ?
)

-- name: realised_traits
SELECT trait, rule FROM realised_trait

-- name: put_realised_trait
INSERT INTO realised_trait VALUES (?, ?) ON CONFLICT (trait) DO UPDATE SET rule = excluded.rule

-- name: segment_sizes
SELECT segment, members FROM segment_size WHERE segment IN ({segments})

-- name: all_segment_sizes
SELECT segment, members FROM segment_size

-- name: grow_segments
INSERT INTO segment_size VALUES (?, ?) ON CONFLICT (segment) DO UPDATE SET members = members + excluded.members

-- name: counted_to
SELECT value FROM meta WHERE key = 'counted_to'

-- name: put_counted_to
INSERT INTO meta VALUES ('counted_to', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: put_profile
INSERT INTO profile VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET body = excluded.body

-- name: append_record
INSERT INTO journal VALUES (?, ?, ?)

-- name: put_ledger_row
INSERT INTO ledger VALUES (?, ?, ?, ?, ?)
ON CONFLICT (uid, destination, dpid, id) DO UPDATE SET entry = excluded.entry

-- name: drop_ledger_row
DELETE FROM ledger WHERE uid = ? AND destination = ? AND dpid = ? AND id = ?

-- name: put_owed
-- Since when it is owed stays.
INSERT INTO owed (destination, uid, since, seq, reason, tries, tried, due, share) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (destination, uid) DO UPDATE SET seq = excluded.seq, reason = excluded.reason, tries = excluded.tries,
  tried = excluded.tried, due = excluded.due, share = excluded.share, in_hand = 0

-- name: take_owed_in_hand
UPDATE owed SET in_hand = 1 WHERE destination = ? AND uid = ?

-- name: drop_owed
DELETE FROM owed WHERE destination = ? AND uid = ?

-- name: move_cursor
INSERT INTO cursor VALUES (?, ?) ON CONFLICT (destination) DO UPDATE SET seq = excluded.seq

-- name: put_batch
INSERT INTO batch VALUES (?, ?, ?)
ON CONFLICT (destination) DO UPDATE SET number = excluded.number, body = excluded.body

-- name: drop_due
DELETE FROM due WHERE at = ? AND uid = ?

-- name: put_due
INSERT OR IGNORE INTO due VALUES (?, ?)

-- name: taken
SELECT value FROM meta WHERE key = 'taken'

-- name: put_taken
INSERT INTO meta VALUES ('taken', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: put_backfill_position
INSERT INTO meta VALUES ('refreshed', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: overwrite_record
UPDATE journal SET body = ? WHERE seq = ?

-- name: erase_ledger
DELETE FROM ledger WHERE uid = ?

-- name: erase_owed
DELETE FROM owed WHERE uid = ?

-- name: erase_profile
DELETE FROM profile WHERE uid = ?

-- name: leave_mark
-- Where a device stood that another one may have found in its way.
INSERT INTO profile VALUES (?, ?)

-- name: trim_journal
-- The newest record stays: its position is where the next one goes on.
DELETE FROM journal WHERE seq IN (
  SELECT seq FROM journal
  WHERE seq < ? AND at < ? AND seq < (SELECT max(seq) FROM journal)
  ORDER BY seq LIMIT 10000
)

-- name: checkpoint
PRAGMA wal_checkpoint(PASSIVE)

-- name: read_only
PRAGMA query_only=1
