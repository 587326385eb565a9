package auth

import (
	"errors"
	"fmt"
	"strings"
)

// The errors of this package that have no details of their own.
var (
	// ErrNoCredentials says that a request has no credentials.
	ErrNoCredentials = errors.New("no credentials")
	// ErrAmbiguous says that a request has several Authorization headers.
	ErrAmbiguous = errors.New("several Authorization headers")
	// ErrUnavailable says that credentials cannot be verified now, because the provider's keys are not known.
	ErrUnavailable = errors.New("the keys of the identity provider are not available")
	// ErrSuspended says that the credentials are valid, but their user is suspended.
	ErrSuspended = errors.New("the user is suspended")
)

// An InvalidError refuses credentials.
type InvalidError struct {
	// Description says what is wrong. It repeats nothing from the credentials. It fits the parameter error_description
	// of the header WWW-Authenticate (RFC 6750, section 3).
	Description string
	// Detail is for the log: the start of the wrong value, or its length, quoted.
	Detail string
	// NoToken says that there is no token that could be wrong: the header has another scheme, or nothing after Bearer.
	NoToken bool
}

func (e *InvalidError) Error() string { return e.Description + ": " + e.Detail }

// A ForbiddenError refuses a bearer whose credentials are valid.
type ForbiddenError struct {
	// Description says why, for the bearer. It repeats nothing from the credentials.
	Description string
	// Reason says why, and what to change, for the log of the operator.
	Reason string
}

func (e *ForbiddenError) Error() string { return e.Description + ": " + e.Reason }

// refuse returns an InvalidError. It quotes the start of the value that is wrong: a line of the log stays short. The
// value must not have a secret.
func refuse(description string, value any) error {
	if value == nil {
		value = "absent"
	}
	return &InvalidError{Description: description, Detail: fmt.Sprintf("%.64q", fmt.Sprint(value))}
}

// Bearer returns the token or API key from the values of the Authorization header (RFC 6750, section 2.1). The error is
// ErrNoCredentials without a value, ErrAmbiguous with several ones, and an *InvalidError otherwise.
func Bearer(values ...string) (string, error) {
	switch len(values) {
	case 0:
		return "", ErrNoCredentials
	case 1:
	default:
		return "", ErrAmbiguous
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", &InvalidError{
			Description: "the Authorization header must be Bearer and a token",
			Detail:      fmt.Sprintf("%d bytes", len(values[0])), // it may be a secret
			NoToken:     true,
		}
	}
	return token, nil
}
