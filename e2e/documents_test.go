package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestClosedServer starts a server for the clients of one application: it executes their documents alone and does not
// tell about its schema.
func TestClosedServer(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	documents := filepath.Join(directory, "persisted-documents.json")
	const text = `{"0b8a": "query Count { users { totalCount } }", "sha256:77": "query Types { __typename }"}`
	if err := os.WriteFile(documents, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(directory, "roster.db")
	server := start(t, build(t), "sqlite:"+file, "SQLite ("+file+")", "--trusted-documents", documents, "--no-introspection")
	const refusal = `{"errors":[{"message":"only trusted documents are executed here, and this is none of them","extensions":{"code":"FORBIDDEN"}}]}`
	for body, want := range map[string]string{
		`{"documentId":"0b8a"}`:                            `{"data":{"users":{"totalCount":0}}}`,
		`{"documentId":"77"}`:                              `{"data":{"__typename":"Query"}}`,
		`{"query":"query Count { users { totalCount } }"}`: `{"data":{"users":{"totalCount":0}}}`,
		`{"query":"{ users { totalCount } }"}`:             refusal,
		`{"query":"{ __schema { queryType { name } } }"}`:  refusal,
		`{"documentId":"0b8b"}`:                            refusal,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/graphql", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := newClient().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		status := http.StatusOK
		if want == refusal {
			status = http.StatusForbidden
		}
		if err != nil || string(got) != want || response.StatusCode != status {
			t.Errorf("%s: got %s, %s, %v, want %d, %s", body, response.Status, got, err, status, want)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/schema.graphql", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := newClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("the schema: got %s, want 404", response.Status)
	}
	server.stop(t, syscall.SIGTERM)
}
