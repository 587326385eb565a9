-- +goose Up
-- create "backups" table
CREATE TABLE "backups" ("at" bigint NOT NULL, PRIMARY KEY ("at"));

-- +goose Down
-- reverse: create "backups" table
DROP TABLE "backups";
