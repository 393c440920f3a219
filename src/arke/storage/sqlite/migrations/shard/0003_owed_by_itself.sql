-- What is owed is sent again by itself: how often it was tried and when last, when it is due, and in messages of how
-- many users at most. What was owed before is due at once. in_hand: it was about to be sent, so that a crash may have
-- hidden what was told.

ALTER TABLE owed ADD COLUMN tries INTEGER NOT NULL DEFAULT 1;
ALTER TABLE owed ADD COLUMN tried REAL NOT NULL DEFAULT 0;
ALTER TABLE owed ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owed ADD COLUMN share INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owed ADD COLUMN in_hand INTEGER NOT NULL DEFAULT 0;

CREATE INDEX owed_by_due ON owed (destination, due, uid);
CREATE INDEX owed_by_try ON owed (destination, tried, uid);
CREATE INDEX owed_in_hand ON owed (destination, uid) WHERE in_hand;
