package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	stopped := make(chan error, 1)
	go func() {
		stopped <- run(ctx, []string{"--cors-origins=http://a.test,http://b.test", "--ping-interval=1s"}, writer, &stderr)
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	const query = `{"query":"subscription { counter(to: 1) { number } }"}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSpace(line), strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, "Origin": {"http://b.test"}}
	client := &http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(text), `data: {"data":{"counter":{"number":1}}}`) || !strings.Contains(string(text), "event: complete") {
		t.Errorf("got %s, %v, want one event and the end", text, err)
	}
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "http://b.test" {
		t.Errorf("got the allowed origin %q, want http://b.test", got)
	}
	stop()
	if err := <-stopped; err != nil || stderr.Len() != 0 {
		t.Errorf("got %v, log %s, want neither", err, stderr.String())
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--listen=nowhere"}, {"--nothing"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v: got no error, want one", args)
		}
	}
	if err := run(t.Context(), []string{"--help"}, io.Discard, io.Discard); err != nil {
		t.Errorf("--help: got %v, want no error", err)
	}
}
