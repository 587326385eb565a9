package auth_test

import (
	"errors"
	"strings"
	"testing"

	"roster/internal/auth"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Bearer abc":    "abc",
		"bearer abc":    "abc",
		"BEARER   abc ": "abc",
		"Bearer a b":    "a b", // no token has a blank, so Verify refuses it
		"Bearer":        "",
		"Bearer ":       "",
		"Bearer    ":    "",
		"":              "",
		" ":             "",
		"abc":           "",
		"Basic YTpi":    "",
		"Bearerabc":     "",
		"Bearer\tabc":   "",
		"Bearer, abc":   "",
	} {
		got, err := auth.Bearer(value)
		if got != want {
			t.Errorf("%q: got %q, %v, want %q", value, got, err, want)
		}
		var invalid *auth.InvalidError
		if want == "" && (!errors.As(err, &invalid) || !invalid.NoToken || strings.Contains(err.Error(), "abc")) {
			t.Errorf("%q: got %v, want an InvalidError that says that there is no token", value, err)
		}
	}
	if got, err := auth.Bearer(); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("got %q, %v, want ErrNoCredentials", got, err)
	}
	if got, err := auth.Bearer("Bearer a", "Bearer a"); !errors.Is(err, auth.ErrAmbiguous) {
		t.Errorf("got %q, %v, want ErrAmbiguous", got, err)
	}
}
