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
	what, err := userBy(ctx, by)
	switch {
	case err != nil:
		return nil, err
	case by.ID.Value() != nil:
		return byID(ctx, users, *by.ID.Value(), "by", "id")
	}
	list, err := users.AnyBy(ctx, columns|what.columns, what.column, what.texts)
	if err != nil {
		return nil, err
	}
	return what.choose(list), nil
}

// A userSearch says how to find a user: it is one of those that have one of the texts in a column.
type userSearch struct {
	column  string
	texts   []string
	columns query.Columns // which choose needs; 0: choose returns the first user
	choose  func([]*ent.User) *ent.User
}

// userBy returns the search for the user that an argument names, without its ID. The error is rules.Faults or a
// *rules.ForbiddenError.
func userBy(ctx context.Context, by model.UserBy) (s userSearch, err error) {
	id, username, email, identity := by.ID.Value(), by.Username.Value(), by.Email.Value(), by.Identity.Value()
	given := 0
	for _, is := range []bool{id != nil, username != nil, email != nil, identity != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return s, fault(&rules.Fault{Code: rules.Invalid, Message: "must have exactly one field, which is not null"}, "by")
	case username != nil:
		key, f := rules.Username(*username)
		if f != nil {
			return s, fault(f, "by", "username")
		}
		return userSearch{user.FieldUsernameKey, []string{key}, 0, first}, nil
	case email != nil:
		key, f := rules.Email(*email)
		if f != nil {
			return s, fault(f, "by", "email")
		}
		choose := func(users []*ent.User) *ent.User { return directory.UserByEmail(users, *email, key) }
		columns := query.ColumnsOf(ent.UserTable, user.FieldEmail, user.FieldEmailKey)
		return userSearch{user.FieldEmailKey, directory.EmailKeys(*email, key), columns, choose}, nil
	case identity != nil:
		return userByIdentity(ctx, *identity)
	}
	return s, nil
}

// first returns the first user, or nil.
func first(users []*ent.User) *ent.User {
	if len(users) == 0 {
		return nil
	}
	return users[0]
}

// userByIdentity returns the search for the user with an identity.
func userByIdentity(ctx context.Context, identity rules.Identity) (s userSearch, err error) {
	if err := rules.Permit(ctx, rules.Read, "User.identity"); err != nil {
		return s, err
	}
	var faults rules.Faults
	faults.Add(rules.IdentityPart(identity.Issuer), "by", "identity", "issuer")
	faults.Add(rules.IdentityPart(identity.Subject), "by", "identity", "subject")
	if err := faults.Err(); err != nil {
		return s, err
	}
	choose := func(users []*ent.User) *ent.User { return directory.WithIdentity(users, identity) }
	columns := query.ColumnsOf(ent.UserTable, user.FieldIdentityIssuer, user.FieldIdentitySubject)
	return userSearch{user.FieldIdentitySubject, []string{identity.Subject}, columns, choose}, nil
}

// Identity implements generated.UserResolver. A caller who may not see the identity gets null.
func (userResolver) Identity(ctx context.Context, u *ent.User) (*rules.Identity, error) {
	if seesIdentity(ctx, u.ID) {
		return directory.IdentityOf(u), nil
	}
	return nil, nil
}

// seesIdentity reports whether the caller in ctx may see the identity of a user.
func seesIdentity(ctx context.Context, user typeid.ID) bool {
	return rules.PermitRow(ctx, rules.Read, "User.identity", []typeid.ID{user}) == nil
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
