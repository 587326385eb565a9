package graph

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"

	"roster/ent/query"
	"roster/ent/rules"
	"roster/internal/logging"
	"roster/internal/requestid"
)

// TestTidyErrors makes one error of each fault, at most ten in all, and logs what nobody foresaw once, with its stack.
func TestTidyErrors(t *testing.T) {
	t.Parallel()
	ctx := requestid.WithContext(t.Context(), "request-1")
	var faults rules.Faults
	faults.Add(&rules.Fault{Code: rules.Blank, Message: "must not be blank"}, "input", "title")
	faults.Add(&rules.Fault{Code: rules.TooLong, Message: "is too long"}, "input", "body")
	var log strings.Builder
	e := &Executor{Options: Options{Logger: slog.New(logging.NewHandler(slog.NewJSONHandler(&log, nil)))}}
	const blank = `{"message":"input.title must not be blank","extensions":{"code":"BLANK","field":["input","title"]}}`
	const long = `{"message":"input.body is too long","extensions":{"code":"TOO_LONG","field":["input","body"]}}`
	const pair = blank + "," + long
	const internal = `{"message":"internal error","extensions":{"code":"INTERNAL","requestId":"request-1"}}`
	for _, test := range []struct {
		errs []error
		want string
	}{
		{[]error{faults}, "[" + pair + "]"},
		{[]error{query.Recovered("out of order"), errors.New("another")}, "[" + internal + "," + internal + "]"},
		{nil, "null"},
		{[]error{faults, faults, faults, faults, faults, faults}, "[" + strings.Repeat(pair+",", 4) + pair + "]"},
	} {
		response := &graphql.Response{}
		for _, err := range test.errs {
			response.Errors = append(response.Errors, publicError(ctx, err))
		}
		e.tidyErrors(ctx, response)
		if got, err := json.Marshal(response.Errors); err != nil || string(got) != test.want {
			t.Errorf("%v: got %s, %v, want %s", test.errs, got, err, test.want)
		}
	}
	var line struct{ Error, Stack, RequestID string }
	if err := json.Unmarshal([]byte(log.String()), &line); err != nil ||
		line.Error != "panic: out of order" || line.RequestID != "request-1" || !strings.Contains(line.Stack, "TestTidyErrors") {
		t.Errorf("got %v, logged %s, want the panic with its request and its stack", err, log.String())
	}
}

// The contract's enum is the source of the codes.
func TestCodes(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../internal/codes/codes.go")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, match := range regexp.MustCompile(`Code = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		got = append(got, match[1])
	}
	for _, value := range served().Types["ErrorCode"].EnumValues {
		want = append(want, value.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("internal/codes has other codes than the enum ErrorCode of schema.graphqls:\ngot  %q\nwant %q", got, want)
	}
}
