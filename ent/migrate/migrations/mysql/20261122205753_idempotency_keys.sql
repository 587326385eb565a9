-- +goose Up
-- create "idempotency_keys" table
CREATE TABLE `idempotency_keys` (`id` binary(32) NOT NULL, `request` binary(32) NOT NULL, `data` mediumblob NOT NULL, `at` bigint NOT NULL, PRIMARY KEY (`id`), INDEX `idempotencykey_at` (`at`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
-- reverse: create "idempotency_keys" table
DROP TABLE `idempotency_keys`;
