-- +goose Up
-- create "users" table
CREATE TABLE `users` (`id` binary(16) NOT NULL, `created_at` datetime(6) NOT NULL, `updated_at` datetime(6) NOT NULL, `version` bigint NOT NULL, `username` varchar(80) NOT NULL, `username_key` varbinary(480) NOT NULL, `email` varchar(120) NOT NULL, `email_key` varbinary(1440) NOT NULL, PRIMARY KEY (`id`), INDEX `user_created_at_id` (`created_at`, `id`), UNIQUE INDEX `user_email_key` (`email_key`), INDEX `user_updated_at_id` (`updated_at`, `id`), UNIQUE INDEX `user_username_key` (`username_key`)) CHARSET utf8mb4 COLLATE utf8mb4_bin;
-- create "posts" table
CREATE TABLE `posts` (`id` binary(16) NOT NULL, `created_at` datetime(6) NOT NULL, `updated_at` datetime(6) NOT NULL, `version` bigint NOT NULL, `title` varchar(200) NOT NULL, `title_key` varbinary(2400) NOT NULL, `body` longtext NOT NULL, `author_id` binary(16) NOT NULL, PRIMARY KEY (`id`), INDEX `post_author_id_created_at_id` (`author_id`, `created_at`, `id`), INDEX `post_author_id_id` (`author_id`, `id`), INDEX `post_author_id_title_key_id` (`author_id`, `title_key`, `id`), INDEX `post_author_id_updated_at_id` (`author_id`, `updated_at`, `id`), INDEX `post_created_at_id` (`created_at`, `id`), INDEX `post_title_key_id` (`title_key`, `id`), INDEX `post_updated_at_id` (`updated_at`, `id`), CONSTRAINT `posts_users_posts` FOREIGN KEY (`author_id`) REFERENCES `users` (`id`) ON UPDATE RESTRICT ON DELETE NO ACTION) CHARSET utf8mb4 COLLATE utf8mb4_bin;

-- +goose Down
-- reverse: create "posts" table
DROP TABLE `posts`;
-- reverse: create "users" table
DROP TABLE `users`;
