ALTER TABLE endpoints DROP COLUMN hurries;
DROP INDEX finished_exhausted;
DROP INDEX finished_in_replay;
DROP INDEX pending_in_replay;
DROP TABLE replay_targets;
DROP TABLE replays;
