-- +goose Up
-- create "idempotency_keys" table
CREATE TABLE `idempotency_keys` (`id` blob NOT NULL, `request` blob NOT NULL, `data` blob NOT NULL, `at` integer NOT NULL, PRIMARY KEY (`id`));
-- create index "idempotencykey_at" to table: "idempotency_keys"
CREATE INDEX `idempotencykey_at` ON `idempotency_keys` (`at`);

-- +goose Down
-- reverse: create index "idempotencykey_at" to table: "idempotency_keys"
DROP INDEX `idempotencykey_at`;
-- reverse: create "idempotency_keys" table
DROP TABLE `idempotency_keys`;
