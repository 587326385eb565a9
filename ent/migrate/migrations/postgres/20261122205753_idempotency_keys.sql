-- +goose Up
-- create "idempotency_keys" table
CREATE TABLE "idempotency_keys" ("id" bytea NOT NULL, "request" bytea NOT NULL, "data" bytea NOT NULL, "at" bigint NOT NULL, PRIMARY KEY ("id"));
-- create index "idempotencykey_at" to table: "idempotency_keys"
CREATE INDEX "idempotencykey_at" ON "idempotency_keys" ("at");

-- +goose Down
-- reverse: create index "idempotencykey_at" to table: "idempotency_keys"
DROP INDEX "idempotencykey_at";
-- reverse: create "idempotency_keys" table
DROP TABLE "idempotency_keys";
