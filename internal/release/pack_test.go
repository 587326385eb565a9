package main

import (
	"testing"
	"time"
)

func TestPackageVersion(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 9, 30, 0, 0, time.UTC)
	for version, want := range map[string]string{
		"v1.2.3":                 "1.2.3",
		"1.2.3":                  "1.2.3",
		"v1.2.3-rc.1":            "1.2.3~rc.1",
		"v1.2.3-4-gabcdef0":      "1.2.3+4.gabcdef0",
		"v1.2.3-rc.1-4-gabcdef0": "1.2.3~rc.1+4.gabcdef0",
		"abcdef0":                "0~20260131.093000.abcdef0",
		"dev":                    "0~20260131.093000.dev",
		"abcdef0-dirty":          "0~20260131.093000.abcdef0.dirty",
	} {
		if got := packageVersion(version, at); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}

func TestParsePlatform(t *testing.T) {
	t.Parallel()
	for _, name := range everyPlatform() {
		if p, err := parsePlatform(name); err != nil || p.String() != name {
			t.Errorf("%s: got %s, %v, want the platform", name, p, err)
		}
	}
	if _, err := parsePlatform("plan9/amd64"); err == nil {
		t.Error("plan9/amd64: got no error, want one")
	}
}
