package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
)

// tokenWorkload is the name of the comparison of W1 with and without a token in -workloads.
const tokenWorkload = "token"

// tokenLimit is the greatest CPU time of W1 with a token, in those without.
const tokenLimit = 1.1

// The settings of the server with authentication.
const (
	issuer   = "https://bench.example.com/"
	audience = "roster"
)

// reportToken prints the cost of authentication: W1 on a server without it, and on Roster, which verifies a token (HS256), finds
// the user of the caller, and asks the rules for a MEMBER. The servers take turns.
func (b *bench) reportToken(ctx context.Context, engine string, w1 workload, dir string, r *report, out, stderr io.Writer) error {
	open, err := b.withoutAuthentication(ctx, dir, stderr)
	if err != nil {
		return err
	}
	var without, with []figures
	for range 2*b.settings.rounds - 1 {
		f, err := b.run(ctx, w1, open, w1.roster)
		if err != nil {
			return err
		}
		g, err := b.run(ctx, w1, b.roster, b.authorised(w1))
		if err != nil {
			return err
		}
		without, with = append(without, f), append(with, g)
	}
	res := &result{Engine: engine, Workload: tokenWorkload, Roster: medians(with), Without: medians(without), WithoutRatio: ratio(with, without, serverCPU)}
	r.Results = append(r.Results, res)
	fmt.Fprintf(out, "\n%-28s%12s%10s%10s%17s%13s\n", "W1 with a token (HS256)", "requests/s", "p50 ms", "p99 ms", "server CPU ms", "database ms")
	tokenLine(out, "without", without)
	tokenLine(out, "with", with)
	fmt.Fprintf(out, "%-28s%12.2f%10.2f%10s%17.2f\n", "with to without", ratio(with, without, rate), ratio(with, without, p50), "", res.WithoutRatio)
	return nil
}

// withoutAuthentication returns a Roster that accepts all requests.
func (b *bench) withoutAuthentication(ctx context.Context, dir string, stderr io.Writer) (*program, error) {
	return b.start(ctx, stderr, b.environment, filepath.Join(dir, "roster"), "serve", "--listen=127.0.0.1:0")
}

// tokens are the tokens of callers. They live longer than a run.
type tokens struct{ admin, member string }

// newTokens returns the token of an ADMIN without a user, and that of a MEMBER with the user that it creates.
func newTokens(ctx context.Context, secret, address string) (t tokens, err error) {
	const subject = "bench"
	verifier, err := auth.New(auth.Options{Secrets: [][]byte{[]byte(secret)}, Issuer: issuer, Audience: audience})
	if err != nil {
		return t, err
	}
	//nolint:contextcheck // with a secret, Mint waits for nothing
	if t.admin, err = verifier.Mint("operator", []rules.Role{rules.Admin}, 2*runLimit, rand.Reader); err != nil {
		return t, err
	}
	create := graphQL("mutation($input: CreateUserInput!) { createUser(input: $input) { user { id username } } }", map[string]any{
		"input": map[string]any{
			"username": subject, "email": subject + "@example.com",
			"identity": map[string]string{"issuer": issuer, "subject": subject},
		},
	})
	create.token = t.admin
	w := workload{name: tokenWorkload, objects: 1}
	one := load{n: 1, connections: 1, request: func(int) (request, string) { return create, subject }, check: w.check}
	if _, err := one.drive(ctx, address); err != nil {
		return t, err
	}
	//nolint:contextcheck // as above
	if t.member, err = verifier.Mint(subject, []rules.Role{rules.Member}, 2*runLimit, rand.Reader); err != nil {
		return t, err
	}
	one.request = func(int) (request, string) {
		r := graphQL("{ viewer { user { id username } } }", nil)
		r.token = t.member
		return r, subject
	}
	_, err = one.drive(ctx, address) // a server without authentication would have no viewer
	return t, err
}

// tokenLine prints the medians of some measurements.
func tokenLine(out io.Writer, what string, list []figures) {
	server, database := median(list, serverCPU), median(list, func(f figures) float64 { return float64(f.database) })
	fmt.Fprintf(out, "%-28s%12.0f%10.2f%10.2f%17s%13s\n", what, median(list, rate), median(list, p50),
		median(list, p99),
		cpuTime(time.Duration(server)), cpuTime(time.Duration(database)))
}

func rate(f figures) float64      { return f.perSecond }
func p50(f figures) float64       { return milliseconds(f.latencies.at(0.5)) }
func p99(f figures) float64       { return milliseconds(f.latencies.at(0.99)) }
func serverCPU(f figures) float64 { return float64(f.server) }

func median(list []figures, value func(figures) float64) float64 {
	values := make([]float64, len(list))
	for i, f := range list {
		values[i] = value(f)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// ratio returns the median of the ratios of measurements that took turns, or 0 if a value is 0.
func ratio(of, to []figures, value func(figures) float64) float64 {
	ratios := make([]float64, len(of))
	for i := range of {
		if value(to[i]) == 0 { // too short to be measured
			return 0
		}
		ratios[i] = value(of[i]) / value(to[i])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}
