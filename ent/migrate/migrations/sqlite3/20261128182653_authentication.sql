-- +goose Up
-- add columns to table: "users"; not by a new table, as the planner would
ALTER TABLE `users` ADD COLUMN `status` text NOT NULL DEFAULT 'ACTIVE';
ALTER TABLE `users` ADD COLUMN `identity_issuer` text NULL;
ALTER TABLE `users` ADD COLUMN `identity_subject` text NULL;
-- create index "user_identity_subject_identity_issuer" to table: "users"
CREATE UNIQUE INDEX `user_identity_subject_identity_issuer` ON `users` (`identity_subject`, `identity_issuer`);
-- create index "user_status_id" to table: "users"
CREATE INDEX `user_status_id` ON `users` (`status`, `id`);
-- add column "authority" to table: "idempotency_keys"
ALTER TABLE `idempotency_keys` ADD COLUMN `authority` text NULL;
-- create "former_identities" table
CREATE TABLE `former_identities` (`id` text NOT NULL, PRIMARY KEY (`id`));
-- create "api_keys" table
CREATE TABLE `api_keys` (`id` blob NOT NULL, `created_at` datetime NOT NULL, `updated_at` datetime NOT NULL, `version` integer NOT NULL, `name` text NOT NULL, `name_key` text NOT NULL, `roles` text NOT NULL, `prefix` text NOT NULL, `secret_hash` text NOT NULL, `expires_at` datetime NULL, `last_used_at` datetime NULL, `revoked_at` datetime NULL, PRIMARY KEY (`id`));
-- create index "apikey_created_at_id" to table: "api_keys"
CREATE INDEX `apikey_created_at_id` ON `api_keys` (`created_at`, `id`);
-- create index "apikey_updated_at_id" to table: "api_keys"
CREATE INDEX `apikey_updated_at_id` ON `api_keys` (`updated_at`, `id`);
-- create index "apikey_secret_hash" to table: "api_keys"
CREATE UNIQUE INDEX `apikey_secret_hash` ON `api_keys` (`secret_hash`);
-- create index "apikey_name_key_id" to table: "api_keys"
CREATE INDEX `apikey_name_key_id` ON `api_keys` (`name_key`, `id`);

-- +goose Down
-- the release before knows no API keys: it fails to read the nodes of a page with their changes
DELETE FROM `changes` WHERE `type` = 'api_key';
-- reverse: create index "apikey_name_key_id" to table: "api_keys"
DROP INDEX `apikey_name_key_id`;
-- reverse: create index "apikey_secret_hash" to table: "api_keys"
DROP INDEX `apikey_secret_hash`;
-- reverse: create index "apikey_updated_at_id" to table: "api_keys"
DROP INDEX `apikey_updated_at_id`;
-- reverse: create index "apikey_created_at_id" to table: "api_keys"
DROP INDEX `apikey_created_at_id`;
-- reverse: create "api_keys" table
DROP TABLE `api_keys`;
-- reverse: create "former_identities" table
DROP TABLE `former_identities`;
-- reverse: add column "authority" to table: "idempotency_keys"
ALTER TABLE `idempotency_keys` DROP COLUMN `authority`;
-- reverse: create index "user_status_id" to table: "users"
DROP INDEX `user_status_id`;
-- reverse: create index "user_identity_subject_identity_issuer" to table: "users"
DROP INDEX `user_identity_subject_identity_issuer`;
-- reverse: add columns to table: "users"
ALTER TABLE `users` DROP COLUMN `identity_subject`;
ALTER TABLE `users` DROP COLUMN `identity_issuer`;
ALTER TABLE `users` DROP COLUMN `status`;
