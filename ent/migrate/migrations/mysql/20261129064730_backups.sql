-- +goose Up
-- create "backups" table
CREATE TABLE `backups` (`at` bigint NOT NULL, PRIMARY KEY (`at`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
-- reverse: create "backups" table
DROP TABLE `backups`;
