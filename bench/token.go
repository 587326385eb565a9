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

// tokenRounds is the number of measurements of each way. The ways take turns, so that other work of the machine slows
// both of them.
const tokenRounds = 5

// tokenLimit is the greatest CPU time of W1 with a token, in those without.
const tokenLimit = 1.1

// The settings of the server with authentication.
const (
	issuer   = "https://bench.example.com/"
	audience = "roster"
)

// reportToken prints the cost of authentication: W1 on a server without it, and on one that verifies a token (HS256),
// finds the user of the caller, and asks the rules for a MEMBER.
func (b *bench) reportToken(ctx context.Context, w1 workload, dir string, out, stderr io.Writer) error {
	secret := rand.Text() + rand.Text() // 52 bytes
	verifier, err := auth.New(auth.Options{Secrets: [][]byte{[]byte(secret)}, Issuer: issuer, Audience: audience})
	if err != nil {
		return err
	}
	environment := append(slices.Clone(b.environment), "ROSTER_AUTH_HS256_SECRET="+secret,
		"ROSTER_AUTH_ISSUER="+issuer, "ROSTER_AUTH_AUDIENCE="+audience)
	if err := b.start(ctx, stderr, environment, filepath.Join(dir, "roster"), "serve", "--listen=127.0.0.1:0"); err != nil {
		return err
	}
	open, closed := b.programs[0], b.programs[len(b.programs)-1]
	token, err := member(ctx, verifier, closed.address)
	if err != nil {
		return err
	}
	language := func(key string) request {
		r := w1.roster(key)
		r.token = token
		return r
	}
	var without, with []figures
	for range tokenRounds {
		f, err := b.run(ctx, w1, open, w1.roster)
		if err != nil {
			return err
		}
		g, err := b.run(ctx, w1, closed, language)
		if err != nil {
			return err
		}
		without, with = append(without, f), append(with, g)
	}
	fmt.Fprintf(out, "\n%-28s%12s%10s%10s%17s%13s\n", "W1 with a token (HS256)", "requests/s", "p50 ms", "p99 ms", "server CPU ms", "database ms")
	tokenLine(out, "without", without)
	tokenLine(out, "with", with)
	cpu, remark := ratio(with, without, serverCPU), ""
	if cpu > tokenLimit {
		remark = "  too much"
	}
	fmt.Fprintf(out, "%-28s%12.2f%10.2f%10s%17.2f%s\n", "with to without", ratio(with, without, rate), ratio(with, without, p50), "", cpu, remark)
	return nil
}

// member creates a user, as an ADMIN, and returns a token of this user, a MEMBER, that lives longer than a run.
func member(ctx context.Context, verifier *auth.Verifier, address string) (string, error) {
	const subject = "bench"
	//nolint:contextcheck // with a secret, Mint waits for nothing
	admin, err := verifier.Mint("operator", []rules.Role{rules.Admin}, 2*runLimit, rand.Reader)
	if err != nil {
		return "", err
	}
	create := graphQL("mutation($input: CreateUserInput!) { createUser(input: $input) { user { id username } } }", map[string]any{
		"input": map[string]any{
			"username": subject, "email": subject + "@example.com",
			"identity": map[string]string{"issuer": issuer, "subject": subject},
		},
	})
	create.token = admin
	w := workload{name: tokenWorkload, objects: 1}
	one := load{n: 1, connections: 1, request: func(int) (request, string) { return create, subject }, check: w.check}
	if _, err := one.drive(ctx, address); err != nil {
		return "", err
	}
	//nolint:contextcheck // as above
	token, err := verifier.Mint(subject, []rules.Role{rules.Member}, 2*runLimit, rand.Reader)
	if err != nil {
		return "", err
	}
	one.request = func(int) (request, string) {
		r := graphQL("{ viewer { user { id username } } }", nil)
		r.token = token
		return r, subject
	}
	_, err = one.drive(ctx, address) // a server without authentication would have no viewer
	return token, err
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
