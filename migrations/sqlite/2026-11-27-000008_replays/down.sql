ALTER TABLE endpoints DROP COLUMN hurries;
DROP INDEX deliveries_exhausted;
DROP INDEX deliveries_in_replay;
DROP TABLE replay_targets;
DROP TABLE replays;
