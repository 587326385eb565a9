-- +goose Up
-- create "users" table
CREATE TABLE "users" ("id" uuid NOT NULL, "created_at" timestamptz NOT NULL, "updated_at" timestamptz NOT NULL, "version" bigint NOT NULL, "username" character varying NOT NULL, "username_key" character varying NOT NULL COLLATE "C", "email" character varying NOT NULL, "email_key" character varying NOT NULL COLLATE "C", PRIMARY KEY ("id"));
-- create index "user_created_at_id" to table: "users"
CREATE INDEX "user_created_at_id" ON "users" ("created_at", "id");
-- create index "user_email_key" to table: "users"
CREATE UNIQUE INDEX "user_email_key" ON "users" ("email_key");
-- create index "user_updated_at_id" to table: "users"
CREATE INDEX "user_updated_at_id" ON "users" ("updated_at", "id");
-- create index "user_username_key" to table: "users"
CREATE UNIQUE INDEX "user_username_key" ON "users" ("username_key");
-- create "posts" table
CREATE TABLE "posts" ("id" uuid NOT NULL, "created_at" timestamptz NOT NULL, "updated_at" timestamptz NOT NULL, "version" bigint NOT NULL, "title" character varying NOT NULL, "title_key" character varying NOT NULL COLLATE "C", "body" text NOT NULL, "author_id" uuid NOT NULL, PRIMARY KEY ("id"), CONSTRAINT "posts_users_posts" FOREIGN KEY ("author_id") REFERENCES "users" ("id") ON UPDATE NO ACTION ON DELETE NO ACTION);
-- create index "post_author_id_created_at_id" to table: "posts"
CREATE INDEX "post_author_id_created_at_id" ON "posts" ("author_id", "created_at", "id");
-- create index "post_author_id_id" to table: "posts"
CREATE INDEX "post_author_id_id" ON "posts" ("author_id", "id");
-- create index "post_author_id_title_key_id" to table: "posts"
CREATE INDEX "post_author_id_title_key_id" ON "posts" ("author_id", "title_key", "id");
-- create index "post_author_id_updated_at_id" to table: "posts"
CREATE INDEX "post_author_id_updated_at_id" ON "posts" ("author_id", "updated_at", "id");
-- create index "post_created_at_id" to table: "posts"
CREATE INDEX "post_created_at_id" ON "posts" ("created_at", "id");
-- create index "post_title_key_id" to table: "posts"
CREATE INDEX "post_title_key_id" ON "posts" ("title_key", "id");
-- create index "post_updated_at_id" to table: "posts"
CREATE INDEX "post_updated_at_id" ON "posts" ("updated_at", "id");

-- +goose Down
-- reverse: create index "post_updated_at_id" to table: "posts"
DROP INDEX "post_updated_at_id";
-- reverse: create index "post_title_key_id" to table: "posts"
DROP INDEX "post_title_key_id";
-- reverse: create index "post_created_at_id" to table: "posts"
DROP INDEX "post_created_at_id";
-- reverse: create index "post_author_id_updated_at_id" to table: "posts"
DROP INDEX "post_author_id_updated_at_id";
-- reverse: create index "post_author_id_title_key_id" to table: "posts"
DROP INDEX "post_author_id_title_key_id";
-- reverse: create index "post_author_id_id" to table: "posts"
DROP INDEX "post_author_id_id";
-- reverse: create index "post_author_id_created_at_id" to table: "posts"
DROP INDEX "post_author_id_created_at_id";
-- reverse: create "posts" table
DROP TABLE "posts";
-- reverse: create index "user_username_key" to table: "users"
DROP INDEX "user_username_key";
-- reverse: create index "user_updated_at_id" to table: "users"
DROP INDEX "user_updated_at_id";
-- reverse: create index "user_email_key" to table: "users"
DROP INDEX "user_email_key";
-- reverse: create index "user_created_at_id" to table: "users"
DROP INDEX "user_created_at_id";
-- reverse: create "users" table
DROP TABLE "users";
