package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"time"

	"roster/e2e/abuse"
)

// abuseWorkload is the name of the hostile requests in -workloads.
const abuseWorkload = "abuse"

// Each hostile request is sent up to abuseRequests times. Each may cost the server less than abuseLimit.
const (
	abuseLimit    = 10 * time.Millisecond
	abuseRequests = 20
)

// reportAbuse sends each hostile request to a Roster without authentication, where anybody can send it, and prints the CPU of its
// refusal.
func (b *bench) reportAbuse(ctx context.Context, dir string, out, stderr io.Writer) error {
	requests, err := abuse.Requests()
	if err != nil {
		return err
	}
	roster, err := b.withoutAuthentication(ctx, dir, stderr)
	if err != nil {
		return err
	}
	times := max(1, min(abuseRequests, b.requests/10))
	client := &http.Client{Timeout: answerLimit, Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + roster.address + "/graphql"
	fmt.Fprintf(out, "\n%-28s%10s  %-31s%s\n", "hostile requests", "bytes", "refused with", "CPU ms of the server, of 10")
	costs := make([]time.Duration, 0, len(requests))
	for i := range requests {
		r := &requests[i]
		if err := refuse(ctx, client, url, r); err != nil { // a warm-up
			return err
		}
		before := processTime(roster.ID())
		for range times {
			if err := refuse(ctx, client, url, r); err != nil {
				return err
			}
		}
		cost := share(before, processTime(roster.ID()), times)
		costs = append(costs, cost)
		remark := ""
		if cost >= abuseLimit {
			remark = "  too much"
		}
		fmt.Fprintf(out, "%-28s%10d  %-31s%s%s\n", r.Name, int64(len(r.Body))+r.Padding, fmt.Sprintf("%d %s", r.Status, r.Code), cpuTime(cost), remark)
	}
	slices.Sort(costs)
	fmt.Fprintf(out, "%-71s%s\n", "the median", cpuTime(costs[len(costs)/2]))
	fmt.Fprintf(out, "%-71s%s\n", "the dearest", cpuTime(costs[len(costs)-1]))
	return nil
}

// refuse sends a hostile request and checks the refusal.
func refuse(ctx context.Context, client *http.Client, url string, r *abuse.Request) error {
	status, body, err := sendTo(ctx, client, url, r)
	for tries := 1; tries < 5 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)); tries++ {
		status, body, err = sendTo(ctx, client, url, r) // the refusal of an unread body may be lost
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	var answer struct {
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal(body, &answer); err != nil || status != r.Status || len(answer.Errors) == 0 || answer.Errors[0].Extensions.Code != r.Code {
		return fmt.Errorf("%s: %d, %.500s, want %d %s", r.Name, status, body, r.Status, r.Code)
	}
	return nil
}

func sendTo(ctx context.Context, client *http.Client, url string, r *abuse.Request) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.MultiReader(bytes.NewReader(r.Body), io.LimitReader(spaces{}, r.Padding)))
	if err != nil {
		return 0, nil, err
	}
	request.ContentLength = int64(len(r.Body)) + r.Padding
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/graphql-response+json")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, errors.Join(err, response.Body.Close())
}

// spaces is white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
