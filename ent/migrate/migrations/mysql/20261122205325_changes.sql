-- +goose Up
-- create "changes" table
CREATE TABLE `changes` (`id` bigint NOT NULL AUTO_INCREMENT, `number` bigint NULL, `type` varchar(64) NOT NULL, `node_id` binary(16) NOT NULL, `kind` varchar(64) NOT NULL, `version` bigint NOT NULL, `fields` varchar(1024) NOT NULL, `at` bigint NOT NULL, `actor` varchar(255) NULL, PRIMARY KEY (`id`), UNIQUE INDEX `change_number` (`number`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;
-- create "feed" table
CREATE TABLE `feed` (`id` bigint NOT NULL AUTO_INCREMENT, `epoch` varchar(64) NOT NULL, `last` bigint NOT NULL, `pruned` bigint NOT NULL, PRIMARY KEY (`id`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;
-- the one row of the feed, with the epoch of this database; it is there when a release that kept no record of its steps
-- was killed after this one
INSERT INTO `feed` (`id`, `epoch`, `last`, `pruned`) VALUES (1, REPLACE(UUID(), '-', ''), 0, 0) ON DUPLICATE KEY UPDATE `id` = `id`;

-- +goose Down
-- reverse: create "feed" table
DROP TABLE `feed`;
-- reverse: create "changes" table
DROP TABLE `changes`;
