package playground

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// built is the page's files as they are in a binary that was built with npm, or without.
func built(t *testing.T, withNPM bool) fs.FS {
	t.Helper()
	all := fstest.MapFS{}
	for _, name := range []string{"page/index.html", "page/playground.js", "page/playground.css"} {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &fstest.MapFile{Data: text}
	}
	m, err := ReadManifest()
	if err != nil || len(m.Files) == 0 {
		t.Fatalf("got %v, %v, want files", m, err)
	}
	for _, f := range m.Files {
		if withNPM {
			all["assets/"+f.Name] = &fstest.MapFile{Data: []byte("the content of " + f.Name)}
		}
	}
	return all
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	h, err := handler(built(t, true))
	if err != nil {
		t.Fatal(err)
	}
	page := get(t, h, "/")
	if policy := page.Header().Get("Content-Security-Policy"); strings.Contains(policy, "http") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("got the policy %q, want default-src 'none' and no other site", policy)
	}
	if strings.Contains(page.Body.String(), "://") || strings.Contains(page.Body.String(), "note") {
		t.Errorf("got %s, want no other site and no note", page.Body)
	}
	for path, contentType := range map[string]string{
		"/":                           "text/html; charset=utf-8",
		"/playground/graphiql.js":     "text/javascript; charset=utf-8",
		"/playground/graphiql.css":    "text/css; charset=utf-8",
		"/playground/react.js":        "text/javascript; charset=utf-8",
		"/playground/react-dom.js":    "text/javascript; charset=utf-8",
		"/playground/playground.js":   "text/javascript; charset=utf-8",
		"/playground/playground.css":  "text/css; charset=utf-8",
		"/playground/files.json":      "",
		"/playground/page/index.html": "",
	} {
		w := get(t, h, path)
		switch {
		case contentType == "" && w.Code != http.StatusNotFound:
			t.Errorf("%s: got %d, want %d", path, w.Code, http.StatusNotFound)
		case contentType != "" && (w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType || w.Body.Len() == 0):
			t.Errorf("%s: got %d, %q, %d bytes, want 200 and %q", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len(), contentType)
		}
		if contentType != "" && path != "/" && !strings.Contains(page.Body.String(), path) {
			t.Errorf("got %s, want %s in it", page.Body, path)
		}
	}
}

// TestAddressesAreRelative looks for addresses that would lead out of the prefix of a proxy.
func TestAddressesAreRelative(t *testing.T) {
	t.Parallel()
	h, err := handler(built(t, true))
	if err != nil {
		t.Fatal(err)
	}
	page := get(t, h, "/").Body.String()
	addresses := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(addresses) < 8 || len(addresses) != strings.Count(page, "href=")+strings.Count(page, "src=") {
		t.Errorf("got %d addresses, want 8 or more, and each href and src, in %s", len(addresses), page)
	}
	for _, address := range addresses {
		if !strings.HasPrefix(address[1], "./") {
			t.Errorf("got the address %s, want a relative one", address[1])
		}
	}
	for _, name := range []string{"playground.js", "playground.css"} {
		text := get(t, h, "/playground/"+name).Body.String()
		if found := regexp.MustCompile("[\"'`(]/[a-z][^\"'`)]*").FindString(text); found != "" {
			t.Errorf("%s: got the address %s, want relative ones", name, found)
		}
	}
}

func TestPageWithoutNPM(t *testing.T) {
	t.Parallel()
	h, err := handler(built(t, false))
	if err != nil {
		t.Fatal(err)
	}
	page := get(t, h, "/")
	if !strings.Contains(page.Body.String(), "npm was not found") {
		t.Errorf("got %s, want a note that GraphiQL is missing", page.Body)
	}
	m, err := ReadManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Packages {
		if !strings.Contains(page.Body.String(), cdn+"/npm/"+p.Name+"@"+p.Version+"/") {
			t.Errorf("got %s, want %s %s from the CDN", page.Body, p.Name, p.Version)
		}
	}
	if n := strings.Count(page.Body.String(), "integrity=\"sha384-"); n != len(m.Files) {
		t.Errorf("got %d checksums, want %d", n, len(m.Files))
	}
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self' "+cdn+";") {
		t.Errorf("got the policy %q, want scripts from the CDN", policy)
	}
}
