-- +goose Up
-- The program computes the keys of addresses again, by the rules of ent/rules: internal/database/keys.go.

-- +goose Down
-- The program computes the keys of addresses again, by the rule of the version before.
