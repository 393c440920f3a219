-- What shards read and write. The shard comes first in every key. What is about one shard has it as its first parameter;
-- what has it as a column may be about several.

-- name: take
-- The owner before may be within a commit: this waits for it, and then sees where it has come to. One of a version that
-- counts no members leaves its epoch out of counted_epoch.
UPDATE shard SET epoch = greatest(epoch + 1, drawn.epoch_at_least), clean = owner IS NULL, owner = %b,
  proved = clock_timestamp(), counted_to = CASE WHEN counted_epoch = epoch THEN counted_to END,
  counted_epoch = greatest(epoch + 1, drawn.epoch_at_least)
FROM (
  SELECT greatest(%b::bigint + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS epoch_at_least
) AS drawn
WHERE shard = %b AND NOT moving
RETURNING epoch, position, commits, last_seq, profiles, people, uid_key, clean

-- name: forget_sizes
-- Where nobody is counted: see migrations/0010_segment_sizes.sql.
DELETE FROM segment_size USING shard
WHERE segment_size.shard = %b AND shard.shard = segment_size.shard AND shard.epoch = %b AND shard.counted_to IS NULL

-- name: prove
UPDATE shard SET proved = clock_timestamp() FROM unnest(%b::bigint[], %b::bigint[]) AS mine (shard, epoch)
WHERE shard.shard = mine.shard AND shard.epoch = mine.epoch
RETURNING shard.shard, shard.epoch, position, commits, last_seq, profiles, people

-- name: settle
-- Where an answer was lost: if the commit is stored there is one more than before. Either number is put far ahead, so
-- that a commit that is still on its way finds the shard changed. A write: what a standby confirms comes with all before.
UPDATE shard SET commits = CASE WHEN commits < %(mark)b THEN commits + %(mark)b - %(commits)b ELSE commits END,
  proved = clock_timestamp()
WHERE shard = %(shard)b AND epoch = %(epoch)b
  AND commits IN (%(commits)b, %(commits)b + 1, %(mark)b, %(mark)b + 1)
RETURNING epoch, position, commits, last_seq, profiles, people

-- name: release
UPDATE shard SET owner = NULL WHERE shard = %b AND epoch = %b

-- name: compare_and_set
-- First in every transaction that writes: it fails by division by zero where the shard is another's, or is not where
-- its owner left it, and the server skips all that follows. A journal position that was given out before becomes null,
-- which the column refuses.
WITH cas AS (
  UPDATE shard SET position = %(to)b, commits = commits + 1, profiles = profiles + %(profiles)b,
    people = people + %(people)b, refreshed = coalesce(nullif(%(refreshed)b, ''::bytea), refreshed),
    counted_to = coalesce(%(counted_to)b::bigint, counted_to),
    proved = clock_timestamp(),
    last_seq = CASE WHEN %(first)b = 0 THEN last_seq WHEN %(first)b > last_seq THEN %(last)b END
  WHERE shard = %(shard)b AND epoch = %(epoch)b AND position = %(position)b AND commits = %(commits)b
  RETURNING 1
)
SELECT 1 / count(*) FROM cas

-- name: compare_and_set_all
-- The same of several shards: it fails unless all are where their owners left them.
WITH cas AS (
  UPDATE shard SET position = step.position_then, commits = shard.commits + 1,
    profiles = shard.profiles + step.profiles, people = shard.people + step.people,
    refreshed = coalesce(nullif(step.refreshed, ''::bytea), shard.refreshed), proved = clock_timestamp(),
    counted_to = coalesce(step.counted_to, shard.counted_to),
    last_seq = CASE WHEN step.first = 0 THEN shard.last_seq WHEN step.first > shard.last_seq THEN step.last END
  FROM unnest(%(shard)b::bigint[], %(epoch)b::bigint[], %(position)b::bigint[], %(commits)b::bigint[], %(to)b::bigint[],
    %(profiles)b::bigint[], %(people)b::bigint[], %(refreshed)b::bytea[], %(counted_to)b::bigint[],
    %(first)b::bigint[], %(last)b::bigint[])
    AS step (shard, epoch, position, commits, position_then, profiles, people, refreshed, counted_to, first, last)
  WHERE shard.shard = step.shard AND shard.epoch = step.epoch AND shard.position = step.position
    AND shard.commits = step.commits
  RETURNING 1
)
SELECT 1 / (count(*) = %(shards)b)::integer FROM cas

-- name: profiles
SELECT uid, body FROM profile WHERE shard = %b AND uid = ANY(%b::bigint[])

-- name: profiles_of_shards
-- Of several jobs, each of them about one shard. Row by row through the index, however the table is estimated.
SELECT k.job, k.uid, found.body FROM unnest(%(jobs)b::bigint[], %(uids)b::bigint[]) AS k (job, uid), LATERAL (
  SELECT body FROM profile WHERE shard = (%(shards)b::bigint[])[k.job] AND uid = k.uid OFFSET 0
) AS found

-- name: ledger_of_shards
SELECT k.job, k.uid, found.dpid, found.id, found.entry
FROM unnest(%(jobs)b::bigint[], %(uids)b::bigint[]) AS k (job, uid), LATERAL (
  SELECT dpid, id, entry FROM ledger WHERE shard = (%(shards)b::bigint[])[k.job] AND ledger.uid = k.uid
    AND destination = (%(destinations)b::bigint[])[k.job] ORDER BY dpid, id OFFSET 0
) AS found

-- name: owed_of_shards
SELECT k.job, found.* FROM unnest(%(jobs)b::bigint[], %(uids)b::bigint[]) AS k (job, uid), LATERAL (
  SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
  WHERE shard = (%(shards)b::bigint[])[k.job] AND owed.uid = k.uid
    AND destination = (%(destinations)b::bigint[])[k.job] OFFSET 0
) AS found

-- name: ledger_rows
SELECT uid, destination, dpid, id, entry FROM ledger WHERE shard = %b AND uid = ANY(%b::bigint[])
ORDER BY uid, destination, dpid, id

-- name: owed_rows
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE shard = %b AND uid = ANY(%b::bigint[]) ORDER BY uid, destination

-- name: owed_page
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE shard = %b AND (destination, uid) > (%b, %b) ORDER BY destination, uid LIMIT %b

-- name: owed_page_of_destination
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE shard = %b AND (destination, uid) > (%b, %b) AND destination = %b ORDER BY destination, uid LIMIT %b

-- name: owed_due
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE shard = %b AND destination = %b AND due <= %b AND (due, uid) > (%b, %b) ORDER BY due, uid LIMIT %b

-- name: owed_tried
SELECT destination, uid, since, seq, reason, tries, tried, due, share FROM owed
WHERE shard = %b AND destination = %b AND tried <= %b AND (tried, uid) > (%b::float8, %b) ORDER BY tried, uid LIMIT %b

-- name: owed_in_hand
SELECT uid FROM owed WHERE shard = %b AND destination = %b AND in_hand

-- name: next_owed
SELECT min(due) FROM owed WHERE shard = %b AND destination = %b

-- name: owed_counts
SELECT destination, count(*) FROM owed WHERE shard = %b GROUP BY destination

-- name: journal
-- Records of whole groups, until they are as many as asked for at least. Of a group that begins before, its last one
-- is sure to come: positions in between may be other shards'.
SELECT body FROM (
  SELECT last, body, sum(come) OVER (ORDER BY last) - come AS before FROM (
    SELECT last, body, CASE WHEN first > %(after)b THEN count ELSE 1 END AS come
    FROM journal WHERE shard = %(shard)b AND last > %(after)b ORDER BY last LIMIT %(limit)b
  ) AS found
) AS groups
WHERE before < %(limit)b ORDER BY last

-- name: first_seq
SELECT first FROM journal WHERE shard = %b ORDER BY last LIMIT 1

-- name: cursors
SELECT destination, seq FROM cursor WHERE shard = %b

-- name: batches_of
SELECT destination, body FROM batch WHERE shard = %b AND destination = ANY(%b::bigint[])

-- name: batches
SELECT destination, body FROM batch WHERE shard = %b ORDER BY destination

-- name: due
SELECT due.at, due.uid, body FROM (SELECT at, uid FROM due WHERE shard = %(shard)b AND at <= %(at)b ORDER BY at, uid LIMIT %(limit)b)
  AS due LEFT JOIN profile ON profile.shard = %(shard)b AND profile.uid = due.uid
ORDER BY due.at, due.uid

-- name: next_due
SELECT min(at) FROM due WHERE shard = %b

-- name: backfill_position
SELECT refreshed FROM shard WHERE shard = %b AND refreshed IS NOT NULL

-- name: uids
SELECT uid FROM profile WHERE shard = %b AND uid > %b ORDER BY uid LIMIT %b

-- name: profile_bodies
SELECT uid, body FROM profile WHERE shard = %b AND uid > %b ORDER BY uid LIMIT %b

-- name: counted_events
-- Row by row through the index, however the table is estimated.
SELECT k.uid, k.name, c.at FROM unnest(%(uids)b::bigint[], %(names)b::bigint[]) AS k (uid, name), LATERAL (
  SELECT at FROM counted_event AS e WHERE e.shard = %(shard)b AND e.uid = k.uid AND e.name = k.name OFFSET 0
) AS c

-- name: realised_traits
SELECT trait, rule FROM realised_trait WHERE shard = %b

-- name: segment_sizes
SELECT segment, members FROM segment_size WHERE shard = %b AND segment = ANY(%b::bigint[])

-- name: all_segment_sizes
SELECT segment, members FROM segment_size WHERE shard = %b

-- name: counted_to
SELECT counted_to FROM shard WHERE shard = %b

-- name: grow_segments
INSERT INTO segment_size SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (shard, segment) DO UPDATE SET members = segment_size.members + excluded.members

-- name: put_profiles
INSERT INTO profile SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bytea[])
ON CONFLICT (shard, uid) DO UPDATE SET body = excluded.body

-- name: append_records
INSERT INTO journal (shard, first, last, until, count, body)
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[])

-- name: drop_ledger_rows
DELETE FROM ledger USING unnest(%(uids)b::bigint[], %(destinations)b::bigint[], %(dpids)b::bigint[], %(ids)b::text[])
  AS gone (uid, destination, dpid, id)
WHERE ledger.shard = %(shard)b AND ledger.uid = gone.uid AND ledger.destination = gone.destination
  AND ledger.dpid = gone.dpid AND ledger.id = gone.id

-- name: put_ledger_rows
INSERT INTO ledger
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::bytea[])
ON CONFLICT (shard, uid, destination, dpid, id) DO UPDATE SET entry = excluded.entry

-- name: drop_owed
DELETE FROM owed USING unnest(%(destinations)b::bigint[], %(uids)b::bigint[]) AS paid (destination, uid)
WHERE owed.shard = %(shard)b AND owed.destination = paid.destination AND owed.uid = paid.uid

-- name: put_owed
-- Since when it is owed stays.
INSERT INTO owed (shard, destination, uid, since, seq, reason, tries, tried, due, share)
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::bigint[],
  %b::float8[], %b::bigint[], %b::bigint[])
ON CONFLICT (shard, destination, uid) DO UPDATE SET seq = excluded.seq, reason = excluded.reason, tries = excluded.tries,
  tried = excluded.tried, due = excluded.due, share = excluded.share, in_hand = false

-- name: take_owed_in_hand
UPDATE owed SET in_hand = true FROM unnest(%(destinations)b::bigint[], %(uids)b::bigint[]) AS sent (destination, uid)
WHERE owed.shard = %(shard)b AND owed.destination = sent.destination AND owed.uid = sent.uid

-- name: move_cursors
INSERT INTO cursor SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (shard, destination) DO UPDATE SET seq = excluded.seq

-- name: put_batches
INSERT INTO batch SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[])
ON CONFLICT (shard, destination) DO UPDATE SET number = excluded.number, body = excluded.body

-- name: drop_due
DELETE FROM due USING unnest(%(ats)b::bigint[], %(uids)b::bigint[]) AS gone (at, uid)
WHERE due.shard = %(shard)b AND due.at = gone.at AND due.uid = gone.uid

-- name: put_due
INSERT INTO due SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[]) ON CONFLICT DO NOTHING

-- name: put_counted_events
INSERT INTO counted_event SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (shard, uid, name) DO UPDATE SET at = excluded.at

-- name: put_realised_traits
INSERT INTO realised_trait SELECT * FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[])
ON CONFLICT (shard, trait) DO UPDATE SET rule = excluded.rule

-- name: groups_with
SELECT DISTINCT found.last, found.body FROM unnest(%(seqs)b::bigint[]) AS wanted (seq), LATERAL (
  SELECT last, body FROM journal WHERE journal.shard = %(shard)b AND last >= wanted.seq ORDER BY last LIMIT 1
) AS found

-- name: overwrite_group
UPDATE journal SET body = %b WHERE shard = %b AND last = %b

-- name: erase_ledger
DELETE FROM ledger WHERE shard = %b AND uid = ANY(%b::bigint[])

-- name: erase_owed
DELETE FROM owed WHERE shard = %b AND uid = ANY(%b::bigint[])

-- name: erase_counted_events
DELETE FROM counted_event WHERE shard = %b AND uid = ANY(%b::bigint[])

-- name: erase_profiles
DELETE FROM profile WHERE shard = %b AND uid = ANY(%b::bigint[])

-- name: trim_journal
-- Whole groups; the newest stays, as the oldest position that is kept.
WITH old AS (
  DELETE FROM journal WHERE shard = %(shard)b AND last IN (
    SELECT last FROM journal
    WHERE shard = %(shard)b AND last < %(seq)b AND until < %(at)b
      AND last < (SELECT max(last) FROM journal WHERE shard = %(shard)b)
    ORDER BY last LIMIT 1000
  ) RETURNING count
)
SELECT coalesce(sum(count), 0)::bigint FROM old

-- name: trim_counted_events
WITH old AS (
  DELETE FROM counted_event WHERE shard = %(shard)b AND (uid, name) IN (
    SELECT uid, name FROM counted_event WHERE shard = %(shard)b AND at <= %(at)b ORDER BY at LIMIT %(limit)b
  ) RETURNING 1
)
SELECT count(*) FROM old
