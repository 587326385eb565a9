-- +goose Up
-- modify "feed" table
ALTER TABLE "feed" ADD COLUMN "counted" bigint NULL;
-- create "counts" table
CREATE TABLE "counts" ("type" character varying NOT NULL, "count" bigint NOT NULL, PRIMARY KEY ("type"));
-- an empty database needs no count; a server counts the rows of others
UPDATE "feed" SET "counted" = 0 WHERE "last" = 0
  AND NOT EXISTS (SELECT 1 FROM "users") AND NOT EXISTS (SELECT 1 FROM "posts") AND NOT EXISTS (SELECT 1 FROM "api_keys");

-- +goose Down
-- reverse: create "counts" table
DROP TABLE "counts";
-- reverse: modify "feed" table
ALTER TABLE "feed" DROP COLUMN "counted";
