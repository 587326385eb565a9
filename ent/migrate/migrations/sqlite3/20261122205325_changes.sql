-- +goose Up
-- create "changes" table
CREATE TABLE `changes` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `number` integer NULL, `type` text NOT NULL, `node_id` blob NOT NULL, `kind` text NOT NULL, `version` integer NOT NULL, `fields` text NOT NULL, `at` integer NOT NULL, `actor` text NULL);
-- create index "change_number" to table: "changes"
CREATE UNIQUE INDEX `change_number` ON `changes` (`number`);
-- create "feed" table
CREATE TABLE `feed` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `epoch` text NOT NULL, `last` integer NOT NULL, `pruned` integer NOT NULL);
-- the one row of the feed, with the epoch of this database
INSERT INTO `feed` (`id`, `epoch`, `last`, `pruned`) VALUES (1, lower(hex(randomblob(16))), 0, 0);

-- +goose Down
-- reverse: create "feed" table
DROP TABLE `feed`;
-- reverse: create index "change_number" to table: "changes"
DROP INDEX `change_number`;
-- reverse: create "changes" table
DROP TABLE `changes`;
