package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"roster/internal/auth"
	"roster/internal/auth/provider"
	"roster/internal/dbtest"
)

// TestPresets starts the program with each preset, by three variables alone, and a provider that gives tokens as the real one
// documents them. It asks with its tokens for users and machines, with its tokens for other purposes, and with tokens of the
// other providers. roster token explain must agree.
func TestPresets(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for _, preset := range auth.PresetNames() {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			idp := provider.New(t, provider.NewKey(t, "RS256", "first"))
			idp.Be(preset)
			variables := []string{"ROSTER_AUTH_PRESET=" + preset, "ROSTER_AUTH_ISSUER=" + idp.Issuer, "ROSTER_AUTH_AUDIENCE=" + provider.Audience}
			database := dbtest.Empty(t, dbtest.SQLite)
			p := startIn(t, variables, binary, database, displayName(t, dbtest.SQLite, database))
			ask := func(token string) (int, string) { return p.bearer(t, token, "{ viewer { roles } }") }
			explain := func(token string) (int, string) {
				cmd := exec.CommandContext(t.Context(), binary, "token", "explain")
				cmd.Env = append(os.Environ(), variables...)
				cmd.Stdin = strings.NewReader("Bearer " + token + "\n")
				var out bytes.Buffer
				cmd.Stdout = &out
				if exit, ok := errors.AsType[*exec.ExitError](cmd.Run()); ok {
					return exit.ExitCode(), out.String()
				}
				return 0, out.String()
			}
			for _, other := range auth.PresetNames() {
				for _, d := range provider.Documents(other, idp.Issuer, time.Now(), "ADMIN", "unknown") {
					token := idp.Sign(d)
					wantStatus, want, wantCode, wantText := http.StatusOK, `{"data":{"viewer":{"roles":["ADMIN"]}}}`, 0, "caller   an ADMIN"
					if other != preset || !d.Access {
						wantStatus, want = http.StatusUnauthorized, "the token is not an access token of the preset "+preset
						wantCode, wantText = 1, "The first check that fails: preset."
					}
					if status, got := ask(token); status != wantStatus || !strings.Contains(got, want) {
						t.Errorf("%s, %s: got %d, %s, want %d, %s", other, d.Name, status, got, wantStatus, want)
					}
					if code, got := explain(token); code != wantCode || !strings.Contains(got, wantText) {
						t.Errorf("%s, %s: got code %d and\n%s\nwant %d and %s", other, d.Name, code, got, wantCode, wantText)
					}
				}
			}
			warnings := 0
			if preset == "entra" {
				warnings = overage(t, p, idp, explain)
			}
			p.stop(t, syscall.SIGTERM) // then the log is complete
			log := p.Log.String()
			if !strings.Contains(log, "preset="+preset) || !strings.Contains(log, "docs/providers.md") {
				t.Errorf("got the log %s, want what to configure", log)
			}
			if strings.Count(log, "level=WARN") != warnings || strings.Count(log, "(overage)") != warnings {
				t.Errorf("got the log %s, want %d warnings, of overage", log, warnings)
			}
		})
	}
}

// overage asks with tokens that leave out groups, and returns their number.
func overage(t *testing.T, p *process, idp *provider.Provider, explain func(token string) (int, string)) int {
	t.Helper()
	all := provider.Overage()
	for _, claims := range all {
		d := provider.Documents("entra", idp.Issuer, time.Now(), "ADMIN")[0]
		maps.Copy(d.Claims, claims)
		token := idp.Sign(d)
		status, got := p.bearer(t, token, "{ viewer { roles } }")
		if status != http.StatusForbidden || !strings.Contains(got, `"code":"FORBIDDEN"`) || strings.Contains(got, "_claim_names") {
			t.Errorf("overage: got %d, %s, want 403 FORBIDDEN", status, got)
		}
		if code, got := explain(token); code != 1 || !strings.Contains(got, "fails: overage.") || !strings.Contains(got, "403 FORBIDDEN") {
			t.Errorf("overage: got code %d and\n%s\nwant 1 and the overage", code, got)
		}
	}
	return len(all)
}

// bearer asks with a token, and returns the status and the body of the answer.
func (p *process) bearer(t *testing.T, token, query string) (status int, answer string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestPresetWarnings starts the program with issuers that do not look like those of the preset: it warns, and serves.
func TestPresetWarnings(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for preset, path := range map[string]string{"keycloak": "", "entra": "/common/v2.0", "auth0": "", "zitadel": "/"} {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			idp := provider.New(t)
			idp.Move(path)
			database := dbtest.Empty(t, dbtest.SQLite)
			p := start(t, binary, database, displayName(t, dbtest.SQLite, database),
				"--auth-preset="+preset, "--auth-issuer="+idp.Issuer, "--auth-audience=roster")
			p.stop(t, syscall.SIGTERM) // then the log is complete
			if log := p.Log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(strings.ReplaceAll(log, `"`, ""), "form=https://") || !strings.Contains(log, "issuer="+idp.Issuer) {
				t.Errorf("got the log %s, want one warning with the form of issuers", log)
			}
		})
	}
}

// TestExplainWithoutInput has no input at all, as a program that is started without one.
func TestExplainWithoutInput(t *testing.T) {
	t.Parallel()
	binary := build(t)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", binary+" token explain --auth-keys-only <&-")
	out, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), "roster: the standard input ") {
		t.Errorf("got %v, %s, want the exit code 2", err, out)
	}
}
