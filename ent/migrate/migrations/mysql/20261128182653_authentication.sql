-- +goose Up
-- modify "idempotency_keys" table
ALTER TABLE `idempotency_keys` ADD COLUMN `authority` varchar(64) NULL;
-- modify "users" table
ALTER TABLE `users` ADD COLUMN `status` varchar(16) NOT NULL DEFAULT 'ACTIVE', ADD COLUMN `identity_issuer` varbinary(255) NULL, ADD COLUMN `identity_subject` varbinary(255) NULL, ADD UNIQUE INDEX `user_identity_subject_identity_issuer` (`identity_subject`, `identity_issuer`), ADD INDEX `user_status_id` (`status`, `id`);
-- create "former_identities" table
CREATE TABLE `former_identities` (`id` varchar(64) NOT NULL, PRIMARY KEY (`id`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;
-- create "api_keys" table
CREATE TABLE `api_keys` (`id` binary(16) NOT NULL, `created_at` datetime(6) NOT NULL, `updated_at` datetime(6) NOT NULL, `version` bigint NOT NULL, `name` varchar(80) NOT NULL, `name_key` varbinary(960) NOT NULL, `roles` varchar(64) NOT NULL, `prefix` varchar(16) NOT NULL, `secret_hash` varbinary(64) NOT NULL, `expires_at` datetime(6) NULL, `last_used_at` datetime(6) NULL, `revoked_at` datetime(6) NULL, PRIMARY KEY (`id`), INDEX `apikey_created_at_id` (`created_at`, `id`), INDEX `apikey_name_key_id` (`name_key`, `id`), UNIQUE INDEX `apikey_secret_hash` (`secret_hash`), INDEX `apikey_updated_at_id` (`updated_at`, `id`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
-- the release before knows no API keys: it fails to read the nodes of a page with their changes
DELETE FROM `changes` WHERE `type` = 'api_key';
-- reverse: create "api_keys" table
DROP TABLE `api_keys`;
-- reverse: create "former_identities" table
DROP TABLE `former_identities`;
-- reverse: modify "users" table
ALTER TABLE `users` DROP INDEX `user_status_id`, DROP INDEX `user_identity_subject_identity_issuer`, DROP COLUMN `identity_subject`, DROP COLUMN `identity_issuer`, DROP COLUMN `status`;
-- reverse: modify "idempotency_keys" table
ALTER TABLE `idempotency_keys` DROP COLUMN `authority`;
