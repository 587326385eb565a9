-- +goose Up
-- add column "counted" to table: "feed"; not by a new table, as the planner would
ALTER TABLE `feed` ADD COLUMN `counted` integer NULL;
-- create "counts" table
CREATE TABLE `counts` (`type` text NOT NULL, `count` integer NOT NULL, PRIMARY KEY (`type`));
-- an empty database needs no count; a server counts the rows of others
UPDATE `feed` SET `counted` = 0 WHERE `last` = 0
  AND NOT EXISTS (SELECT 1 FROM `users`) AND NOT EXISTS (SELECT 1 FROM `posts`) AND NOT EXISTS (SELECT 1 FROM `api_keys`);

-- +goose Down
-- reverse: create "counts" table
DROP TABLE `counts`;
-- reverse: add column "counted" to table: "feed"
ALTER TABLE `feed` DROP COLUMN `counted`;
