package cli_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// TestProvidersPage reads docs/providers.md: for each preset, the settings accept a token with the claims that the page shows,
// also with each other setting of the section. The page has no other settings than the program.
func TestProvidersPage(t *testing.T) {
	t.Parallel()
	data, err := fs.ReadFile(os.DirFS("../.."), "docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	serve := golden(t, "help-serve.txt")
	for _, variable := range regexp.MustCompile(`ROSTER_[A-Z_0-9]+`).FindAllString(page, -1) {
		if !regexp.MustCompile(`\b` + variable + `\b`).MatchString(serve) {
			t.Errorf("got %s, want a variable of roster serve", variable)
		}
	}
	setting := regexp.MustCompile(`(?m)^export (ROSTER_\w+)=(\S+)$`)
	other := regexp.MustCompile("`(ROSTER_\\w+)=([^`]+)`")
	sample := regexp.MustCompile("(?s)```json\n(.*?)```")
	var presets []string
	for _, section := range strings.Split(page, "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		settings := setting.FindAllStringSubmatch(text, -1)
		if settings == nil {
			continue
		}
		var flags []string
		for _, s := range settings {
			flags = append(flags, flagOf(s[1], s[2]))
		}
		presets = append(presets, settings[0][2])
		var claims map[string]any
		if err := json.Unmarshal([]byte(sample.FindStringSubmatch(text)[1]), &claims); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for claim, at := range map[string]time.Duration{"iat": 0, "nbf": 0, "exp": time.Hour} {
			if claims[claim] != nil {
				claims[claim] = time.Now().Add(at).Unix()
			}
		}
		key := provider.NewKey(t, "HS256", "")
		for _, more := range append([][]string{nil}, other.FindAllStringSubmatch(text, -1)...) {
			all := slices.Clone(flags)
			if more != nil {
				all = append(all, flagOf(more[1], more[2]))
			}
			code, stdout, stderr := explain(t, key.Secret(), strings.NewReader(key.Token(claims)), all...)
			if code != 0 || !strings.Contains(stdout, "roles    MEMBER\n") || strings.Contains(stdout, "WARNING") || stderr != "" {
				t.Errorf("%s with %v: got code %d, stderr %q, stdout\n%s\nwant a MEMBER", name, more, code, stderr, stdout)
			}
		}
	}
	if !slices.Equal(presets, auth.PresetNames()) {
		t.Errorf("got the presets %v, want all: %v", presets, auth.PresetNames())
	}
}

// flagOf returns the flag of a variable with a value.
func flagOf(variable, value string) string {
	return "--" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable, "ROSTER_")), "_", "-") + "=" + value
}

// TestPresetFlag compares the names of the flag with those of package auth.
func TestPresetFlag(t *testing.T) {
	t.Parallel()
	for _, name := range auth.PresetNames() {
		_, _, stderr := explain(t, nil, strings.NewReader(""), "--auth-preset="+name)
		if !strings.Contains(stderr, "--auth-issuer must be the issuer") {
			t.Errorf("%s: got %q, want a preset that needs an issuer", name, stderr)
		}
	}
}
