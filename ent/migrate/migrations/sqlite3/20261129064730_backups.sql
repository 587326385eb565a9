-- +goose Up
-- create "backups" table
CREATE TABLE `backups` (`at` integer NOT NULL, PRIMARY KEY (`at`));

-- +goose Down
-- reverse: create "backups" table
DROP TABLE `backups`;
