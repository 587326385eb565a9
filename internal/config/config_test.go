package config_test

import (
	"bytes"
	"strings"
	"testing"

	"roster/internal/config"
)

func TestLogger(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{
		"debug": "debug info warn error",
		"info":  "info warn error",
		"warn":  "warn error",
		"error": "error",
	} {
		var log bytes.Buffer
		logger := config.Log{LogLevel: level, LogFormat: "text"}.Logger(&log)
		logger.Debug("debug")
		logger.Info("info")
		logger.Warn("warn")
		logger.Error("error")
		var got []string
		for line := range strings.Lines(log.String()) {
			_, message, _ := strings.Cut(line, "msg=")
			got = append(got, strings.TrimSpace(message))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", level, got, want)
		}
	}
}

func TestLoggerWritesJSON(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	config.Log{LogLevel: "info", LogFormat: "json"}.Logger(&log).Info("hello", "a", 1)
	if got := log.String(); !strings.HasPrefix(got, "{") || !strings.HasSuffix(got, `"msg":"hello","a":1}`+"\n") {
		t.Errorf("got %s, want a JSON object with msg and a", got)
	}
}

func TestCORSOrigins(t *testing.T) {
	t.Parallel()
	for list, valid := range map[string]bool{
		"":                        true,
		"*":                       true,
		"https://app.example.com": true,
		"http://localhost:5173 https://app.example.com:8443 capacitor://localhost http://[::1]:3000": true,
		"* https://app.example.com":    false,
		"https://app.example.com *":    false,
		"app.example.com":              false,
		"https://app.example.com/":     false,
		"https://app.example.com/x":    false,
		"https://app.example.com?x":    false,
		"https://app.example.com#":     false,
		"https://App.example.com":      false,
		"HTTPS://app.example.com":      false,
		"https://user@app.example.com": false,
		"https://app.example.com:443":  false,
		"http://app.example.com:80":    false,
		"https://*.example.com:x":      false,
		"https://*.example.com":        false,
		"https://":                     false,
		"null":                         false,
		"%":                            false,
	} {
		h := config.HTTP{Listen: ":0", CORSOrigins: strings.Fields(list)}
		if err := h.Validate(); (err == nil) != valid {
			t.Errorf("%q: got %v, want valid: %t", list, err, valid)
		}
	}
}
