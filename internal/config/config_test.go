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
			t.Errorf("%s logs %v, want %s", level, got, want)
		}
	}
}

func TestLoggerWritesJSON(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	config.Log{LogLevel: "info", LogFormat: "json"}.Logger(&log).Info("hello", "a", 1)
	if got := log.String(); !strings.HasPrefix(got, "{") || !strings.HasSuffix(got, `"msg":"hello","a":1}`+"\n") {
		t.Errorf("got %s", got)
	}
}
