-- +goose Up
-- modify "idempotency_keys" table
ALTER TABLE "idempotency_keys" ADD COLUMN "authority" character varying NULL;
-- modify "users" table
ALTER TABLE "users" ADD COLUMN "status" character varying NOT NULL DEFAULT 'ACTIVE', ADD COLUMN "identity_issuer" character varying NULL COLLATE "C", ADD COLUMN "identity_subject" character varying NULL COLLATE "C";
-- create index "user_identity_subject_identity_issuer" to table: "users"
CREATE UNIQUE INDEX "user_identity_subject_identity_issuer" ON "users" ("identity_subject", "identity_issuer");
-- create index "user_status_id" to table: "users"
CREATE INDEX "user_status_id" ON "users" ("status", "id");
-- create "former_identities" table
CREATE TABLE "former_identities" ("id" character varying NOT NULL, PRIMARY KEY ("id"));
-- create "api_keys" table
CREATE TABLE "api_keys" ("id" uuid NOT NULL, "created_at" timestamptz NOT NULL, "updated_at" timestamptz NOT NULL, "version" bigint NOT NULL, "name" character varying NOT NULL, "name_key" character varying NOT NULL COLLATE "C", "roles" character varying NOT NULL, "prefix" character varying NOT NULL, "secret_hash" character varying NOT NULL COLLATE "C", "expires_at" timestamptz NULL, "last_used_at" timestamptz NULL, "revoked_at" timestamptz NULL, PRIMARY KEY ("id"));
-- create index "apikey_created_at_id" to table: "api_keys"
CREATE INDEX "apikey_created_at_id" ON "api_keys" ("created_at", "id");
-- create index "apikey_name_key_id" to table: "api_keys"
CREATE INDEX "apikey_name_key_id" ON "api_keys" ("name_key", "id");
-- create index "apikey_secret_hash" to table: "api_keys"
CREATE UNIQUE INDEX "apikey_secret_hash" ON "api_keys" ("secret_hash");
-- create index "apikey_updated_at_id" to table: "api_keys"
CREATE INDEX "apikey_updated_at_id" ON "api_keys" ("updated_at", "id");

-- +goose Down
-- the release before knows no API keys: it fails to read the nodes of a page with their changes
DELETE FROM "changes" WHERE "type" = 'api_key';
-- reverse: create index "apikey_updated_at_id" to table: "api_keys"
DROP INDEX "apikey_updated_at_id";
-- reverse: create index "apikey_secret_hash" to table: "api_keys"
DROP INDEX "apikey_secret_hash";
-- reverse: create index "apikey_name_key_id" to table: "api_keys"
DROP INDEX "apikey_name_key_id";
-- reverse: create index "apikey_created_at_id" to table: "api_keys"
DROP INDEX "apikey_created_at_id";
-- reverse: create "api_keys" table
DROP TABLE "api_keys";
-- reverse: create "former_identities" table
DROP TABLE "former_identities";
-- reverse: create index "user_status_id" to table: "users"
DROP INDEX "user_status_id";
-- reverse: create index "user_identity_subject_identity_issuer" to table: "users"
DROP INDEX "user_identity_subject_identity_issuer";
-- reverse: modify "users" table
ALTER TABLE "users" DROP COLUMN "identity_subject", DROP COLUMN "identity_issuer", DROP COLUMN "status";
-- reverse: modify "idempotency_keys" table
ALTER TABLE "idempotency_keys" DROP COLUMN "authority";
