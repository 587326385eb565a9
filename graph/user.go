package graph

import (
	"context"

	"roster/ent"
	"roster/ent/query"
	"roster/ent/rules"
	"roster/ent/user"
	"roster/graph/model"
	"roster/internal/directory"
	"roster/internal/typeid"
)

// User implements generated.QueryResolver.
func (r queryResolver) User(ctx context.Context, by model.UserBy) (*ent.User, error) {
	users, columns := attemptFrom(ctx).ent.User.Reader(), nodeColumns(ctx, ent.UserTable)
	id, username, email, identity := by.ID.Value(), by.Username.Value(), by.Email.Value(), by.Identity.Value()
	given := 0
	for _, is := range []bool{id != nil, username != nil, email != nil, identity != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
	case id != nil:
		return byID(ctx, users, *id, "by", "id")
	case identity != nil:
		return userByIdentity(ctx, *identity)
	case username != nil:
		key, f := rules.Username(*username)
		if f != nil {
			return nil, fault(f, "by", "username")
		}
		list, err := users.AnyBy(ctx, columns, user.FieldUsernameKey, []string{key})
		if len(list) == 0 {
			return nil, err
		}
		return list[0], err
	case email != nil:
		key, f := rules.Email(*email)
		if f != nil {
			return nil, fault(f, "by", "email")
		}
		return r.userByEmail(ctx, *email, key)
	}
	return nil, fault(&rules.Fault{Code: rules.Invalid, Message: "must have exactly one field, which is not null"}, "by")
}

// userByEmail returns the user with an address, or nil. key is the key of the address.
func (queryResolver) userByEmail(ctx context.Context, email, key string) (*ent.User, error) {
	columns := nodeColumns(ctx, ent.UserTable) | query.ColumnsOf(ent.UserTable, user.FieldEmail, user.FieldEmailKey)
	users, err := attemptFrom(ctx).ent.User.Reader().AnyBy(ctx, columns, user.FieldEmailKey, directory.EmailKeys(email, key))
	return directory.UserByEmail(users, email, key), err
}

// userByIdentity returns the user with an identity, or nil.
func userByIdentity(ctx context.Context, identity rules.Identity) (*ent.User, error) {
	if err := rules.Permit(ctx, rules.Read, "User.identity"); err != nil {
		return nil, err
	}
	var faults rules.Faults
	faults.Add(rules.IdentityPart(identity.Issuer), "by", "identity", "issuer")
	faults.Add(rules.IdentityPart(identity.Subject), "by", "identity", "subject")
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return directory.UserByIdentity(ctx, attemptFrom(ctx).ent.User.Reader(), nodeColumns(ctx, ent.UserTable), identity)
}

// Identity implements generated.UserResolver. A caller who may not see the identity gets null.
func (userResolver) Identity(ctx context.Context, u *ent.User) (*rules.Identity, error) {
	if rules.PermitRow(ctx, rules.Read, "User.identity", []typeid.ID{u.ID}) == nil {
		return directory.IdentityOf(u), nil
	}
	return nil, nil
}

// CreateUser implements generated.MutationResolver.
func (r mutationResolver) CreateUser(ctx context.Context, input model.CreateUserInput) (*model.CreateUserPayload, error) {
	u, err := one(ctx, input, createUsers)
	return &model.CreateUserPayload{User: u}, err
}

// CreateUsers implements generated.MutationResolver.
func (r mutationResolver) CreateUsers(ctx context.Context, list []model.CreateUserInput) (*model.CreateUsersPayload, error) {
	users, err := each(ctx, list, createUsers)
	return &model.CreateUsersPayload{Users: users}, err
}

func createUsers(ctx context.Context, list []model.CreateUserInput) ([]*ent.User, error) {
	return attemptFrom(ctx).directory.CreateUsers(ctx, translated(list, func(input model.CreateUserInput) directory.CreateUser {
		posts := translated(input.Posts.Value(), func(p model.UserPostInput) directory.UserPost { return directory.UserPost(p) })
		return directory.CreateUser{
			Username: input.Username, Email: input.Email, Status: input.Status, Identity: input.Identity.Value(), Posts: posts,
		}
	}))
}

// UpdateUser implements generated.MutationResolver.
func (r mutationResolver) UpdateUser(ctx context.Context, input model.UpdateUserInput) (*model.UpdateUserPayload, error) {
	u, err := one(ctx, input, updateUsers)
	return &model.UpdateUserPayload{User: u}, err
}

// UpdateUsers implements generated.MutationResolver.
func (r mutationResolver) UpdateUsers(ctx context.Context, list []model.UpdateUserInput) (*model.UpdateUsersPayload, error) {
	users, err := each(ctx, list, updateUsers)
	return &model.UpdateUsersPayload{Users: users}, err
}

func updateUsers(ctx context.Context, list []model.UpdateUserInput) ([]*ent.User, error) {
	return attemptFrom(ctx).directory.UpdateUsers(ctx, translated(list, func(input model.UpdateUserInput) directory.UpdateUser {
		return directory.UpdateUser{
			Target: target(input.ID, input.ExpectedVersion), Username: optional(input.Username), Email: optional(input.Email),
			Status: optional(input.Status), Identity: optional(input.Identity),
		}
	}))
}

// UpsertUsers implements generated.MutationResolver.
func (r mutationResolver) UpsertUsers(ctx context.Context, list []model.UpsertUserInput, key model.UserKey) (*model.UpsertUsersPayload, error) {
	payload, by := new(model.UpsertUsersPayload), directory.ByUsername
	if key == model.UserKeyEmail {
		by = directory.ByEmail
	}
	var err error
	payload.Users, err = each(ctx, list, func(ctx context.Context, list []model.UpsertUserInput) (users []*ent.User, err error) {
		inputs := translated(list, func(input model.UpsertUserInput) directory.UpsertUser { return directory.UpsertUser(input) })
		users, payload.Created, payload.Updated, err = attemptFrom(ctx).directory.UpsertUsers(ctx, inputs, by)
		return users, err
	})
	payload.Unchanged = len(payload.Users) - payload.Created - payload.Updated
	return payload, err
}

// DeleteUser implements generated.MutationResolver.
func (r mutationResolver) DeleteUser(ctx context.Context, input model.DeleteUserInput) (*model.DeleteUserPayload, error) {
	id, err := one(ctx, input, deleteUsers)
	return &model.DeleteUserPayload{DeletedID: id}, err
}

// DeleteUsers implements generated.MutationResolver.
func (r mutationResolver) DeleteUsers(ctx context.Context, list []model.DeleteUserInput) (*model.DeleteUsersPayload, error) {
	ids, err := each(ctx, list, deleteUsers)
	return &model.DeleteUsersPayload{DeletedIds: ids}, err
}

func deleteUsers(ctx context.Context, list []model.DeleteUserInput) ([]typeid.ID, error) {
	users, err := attemptFrom(ctx).directory.DeleteUsers(ctx, translated(list, func(input model.DeleteUserInput) directory.DeleteUser {
		return directory.DeleteUser{Target: target(input.ID, input.ExpectedVersion), Cascade: input.Dependents == model.DependentsCascade}
	}))
	return translated(users, func(u *ent.User) typeid.ID { return u.ID }), err
}
