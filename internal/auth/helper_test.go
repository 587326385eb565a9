package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// issuer is the issuer of tokens without a provider.
const issuer = "https://id.example.com/"

// noon is a time for tests with a clock of their own.
func noon() time.Time { return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) }

// start returns a running Verifier, after some changes to it. It stops at the end of the test.
func start(t testing.TB, o auth.Options, change ...func(*auth.Verifier)) *auth.Verifier {
	t.Helper()
	if o.Issuer == "" {
		o.Issuer = issuer
	}
	o.Audience = provider.Audience
	v, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(v)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		v.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-stopped
	})
	return v
}

// with returns claims with other values for some of them. The value absent removes a claim.
func with(claims map[string]any, pairs ...any) map[string]any {
	claims = maps.Clone(claims)
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		if claims[name] = pairs[i+1]; pairs[i+1] == absent {
			delete(claims, name)
		}
	}
	return claims
}

// absent removes a claim.
const absent = "\x00absent"

func text(t testing.TB, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantInvalid checks that a token is refused for a reason.
func wantInvalid(t *testing.T, v *auth.Verifier, token, description string) {
	t.Helper()
	claims, err := v.Verify(t.Context(), token)
	var invalid *auth.InvalidError
	if !errors.As(err, &invalid) || invalid.Description != description {
		t.Errorf("got %+v, %v, want %s", claims, err, description)
	}
}

// wantSubject checks that a token is valid.
func wantSubject(t *testing.T, v *auth.Verifier, token, subject string) {
	t.Helper()
	claims, err := v.Verify(t.Context(), token)
	if err != nil || claims.Subject != subject {
		t.Errorf("got %+v, %v, want the subject %q", claims, err, subject)
	}
}
