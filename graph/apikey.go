package graph

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/graph/generated"
	"roster/graph/model"
	"roster/internal/auth"
	"roster/internal/directory"
)

type apiKeyResolver struct{}

// ApiKey implements generated.ResolverRoot.
//
//nolint:revive // the name of the type in GraphQL
func (*resolver) ApiKey() generated.ApiKeyResolver { return apiKeyResolver{} }

// Roles implements generated.ApiKeyResolver.
func (apiKeyResolver) Roles(_ context.Context, k *ent.ApiKey) ([]rules.Role, error) {
	return k.Roles.Roles(), nil
}

// APIKeys implements generated.QueryResolver.
func (queryResolver) APIKeys(ctx context.Context, first *int, after *string, last *int, before *string, where *ent.ApiKeyWhere, orderBy []ent.ApiKeyOrder) (*ent.ApiKeyConnection, error) {
	args := query.Args{First: first, After: after, Last: last, Before: before}
	return query.ReadPage(ctx, attemptFrom(ctx).ent.ApiKey.Reader(), "ApiKeys", pageColumns(ctx, ent.ApiKeyTable), args, where, orderBy)
}

// CreateAPIKey implements generated.MutationResolver.
func (mutationResolver) CreateAPIKey(ctx context.Context, input model.CreateAPIKeyInput) (*model.CreateAPIKeyPayload, error) {
	secret, err := auth.NewAPIKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	hash := secret.Hash()
	key, err := one(ctx, input, func(ctx context.Context, list []model.CreateAPIKeyInput) ([]*ent.ApiKey, error) {
		return attemptFrom(ctx).directory.CreateAPIKeys(ctx, translated(list, func(input model.CreateAPIKeyInput) directory.CreateAPIKey {
			return directory.CreateAPIKey{
				Name: input.Name, Roles: input.Roles, ExpiresAt: input.ExpiresAt.Value(),
				Prefix: secret.Prefix(), SecretHash: hex.EncodeToString(hash[:]),
			}
		}))
	})
	return &model.CreateAPIKeyPayload{APIKey: key, Secret: secret.Secret()}, err
}

// RevokeAPIKey implements generated.MutationResolver.
func (mutationResolver) RevokeAPIKey(ctx context.Context, input model.RevokeAPIKeyInput) (*model.RevokeAPIKeyPayload, error) {
	key, err := one(ctx, input, func(ctx context.Context, list []model.RevokeAPIKeyInput) ([]*ent.ApiKey, error) {
		return attemptFrom(ctx).directory.RevokeAPIKeys(ctx, translated(list, func(input model.RevokeAPIKeyInput) directory.Target {
			return target(input.ID, input.ExpectedVersion)
		}))
	})
	return &model.RevokeAPIKeyPayload{APIKey: key}, err
}
