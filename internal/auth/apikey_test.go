package auth_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"roster/internal/auth"
)

func newAPIKey(t testing.TB, random io.Reader) auth.APIKey {
	t.Helper()
	key, err := auth.NewAPIKey(random)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^rost_[0-9A-Za-z]{33}$`)
	for name, random := range map[string]io.Reader{
		"zeros":  bytes.NewReader(make([]byte, 20)),
		"ones":   bytes.NewReader(bytes.Repeat([]byte{0xFF}, 20)),
		"random": rand.Reader,
	} {
		key := newAPIKey(t, random)
		secret := key.Secret()
		if !form.MatchString(secret) {
			t.Errorf("%s: got %s, want the form %s", name, secret, form)
		}
		parsed, err := auth.ParseAPIKey(secret)
		if err != nil || parsed.Secret() != secret || parsed.Hash() != key.Hash() || parsed.Hash() != sha256.Sum256([]byte(secret)) {
			t.Errorf("%s: got %s, %v, want %s", name, parsed.Secret(), err, secret)
		}
		if got := key.Prefix(); got != secret[:11] {
			t.Errorf("%s: got the prefix %s, want %s", name, got, secret[:11])
		}
		digits, check := secret[5:32], secret[32:]
		number, ok := new(big.Int).SetString(check, 62)
		if !ok || number.Uint64() != uint64(crc32.ChecksumIEEE([]byte(digits))) {
			t.Errorf("%s: got the checksum %s, want that of %s", name, check, digits)
		}
	}
	if a, b := newAPIKey(t, rand.Reader), newAPIKey(t, rand.Reader); a.Secret() == b.Secret() {
		t.Errorf("got %s twice, want two keys", a.Secret())
	}
	if key, err := auth.NewAPIKey(iotest.DataErrReader(bytes.NewReader(make([]byte, 19)))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v, want %v", key, err, io.ErrUnexpectedEOF)
	}
}

func TestParseAPIKeyRefuses(t *testing.T) {
	t.Parallel()
	secret := newAPIKey(t, rand.Reader).Secret()
	swapped := []byte(secret)
	swapped[10] = 'a' + (swapped[10]-'a'+1)%26 // another digit, whatever it was
	for _, text := range []string{
		"", "rost_", secret[1:], secret[:37], secret + "a", " " + secret, secret + "\n", string(swapped),
		strings.ToUpper(secret), "ROST_" + secret[5:], "rost-" + secret[5:], secret[:31] + "é" + secret[33:],
		"rost_" + strings.Repeat("0", 33), strings.Repeat(secret, 1000),
	} {
		key, err := auth.ParseAPIKey(text)
		if _, ok := errors.AsType[*auth.InvalidError](err); !ok {
			t.Errorf("%q: got %v, %v, want an InvalidError", text, key, err)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %v, want an error without the text", text, err)
		}
	}
}

// TestAPIKeyIsNotPrinted prints a key in all ways that a program prints values by mistake.
func TestAPIKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	key := newAPIKey(t, rand.Reader)
	type request struct {
		Key    auth.APIKey
		hidden auth.APIKey
		more   []auth.APIKey
	}
	r := request{key, key, []auth.APIKey{key}}
	var all bytes.Buffer
	for _, verb := range "vsqxXdpt" {
		for _, flag := range []string{"", "+", "#"} {
			format := "%" + flag + string(verb) + "\n"
			fmt.Fprintf(&all, format, key)
			fmt.Fprintf(&all, format, &key)
			fmt.Fprintf(&all, format, r)
			fmt.Fprintf(&all, format, map[string]any{"a": r})
		}
	}
	fmt.Fprintln(&all, key, r, fmt.Errorf("a: %v", r))
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&all, nil)), slog.New(slog.NewJSONHandler(&all, nil))} {
		logger.Info("hello", "key", key, "pointer", &key, "request", r, "hidden", r.hidden, "more", r.more)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	all.Write(data)
	secret := key.Secret()
	for _, part := range []string{secret, secret[11:], fmt.Sprintf("%x", secret[11:]), fmt.Sprintf("%X", secret[11:])} {
		if strings.Contains(all.String(), part) {
			t.Errorf("got %s in %s, want no secret", part, all.String())
		}
	}
	if want := key.Prefix() + "…"; fmt.Sprint(key) != want {
		t.Errorf("got %v, want %s", key, want)
	}
}
