package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Insight has the settings of the log of slow operations and of traces. The variables of OpenTelemetry turn traces on: see
// ReadOTel.
type Insight struct {
	SlowOperation    time.Duration `default:"1s" min:"0s" placeholder:"DURATION" help:"Log operations that take this time or longer. 0s: none."`
	SlowStatement    time.Duration `default:"500ms" min:"0s" placeholder:"DURATION" help:"Log SQL statements that take this time or longer. 0s: none."`
	SlowTraces       string        `placeholder:"FOLDER" help:"Folder for execution traces of slow operations, which go tool trace reads: at most one in a minute, and the last 20. Without the flag: none."`
	TraceDocuments   bool          `help:"Add the GraphQL document to the span of an operation, with ? for each text and number."`
	TraceSQLComments bool          `name:"trace-sql-comments" env:"ROSTER_TRACE_SQL_COMMENTS" help:"Add the ID of the trace to the SQL statements of sampled operations, as a comment. These statements are not prepared."`
	TrustTraceparent bool          `help:"Let the header traceparent of a request decide whether it is sampled, as the sampler says. Without the flag, its trace is continued, but the client does not decide."`
}

// Validate checks that the settings fit each other. The error names the flags and says what to do.
func (i Insight) Validate() error {
	if i.SlowOperation == 0 && i.SlowTraces != "" {
		return errors.New("--slow-traces has no effect with --slow-operation=0s: leave one of them out")
	}
	return nil
}

// OTel has the settings of traces from the variables of OpenTelemetry
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). The exporter of OpenTelemetry's library
// reads further ones itself: OTEL_EXPORTER_OTLP_…, OTEL_BSP_…, OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
type OTel struct {
	// Traces says that traces are sent.
	Traces bool
	// Continue says that the header traceparent counts.
	Continue bool
	// Sampler is one of Samplers. Ratio is for those with a ratio, from 0 to 1.
	Sampler string
	Ratio   float64
}

// The samplers.
const (
	AlwaysOn                = "always_on"
	AlwaysOff               = "always_off"
	TraceIDRatio            = "traceidratio"
	ParentBasedAlwaysOn     = "parentbased_always_on"
	ParentBasedAlwaysOff    = "parentbased_always_off"
	ParentBasedTraceIDRatio = "parentbased_traceidratio"
)

// Samplers returns the names of all samplers.
func Samplers() []string {
	return []string{AlwaysOn, AlwaysOff, TraceIDRatio, ParentBasedAlwaysOn, ParentBasedAlwaysOff, ParentBasedTraceIDRatio}
}

// ReadOTel reads the variables. Traces are on if an endpoint or the exporter otlp is set. The error names the variable and says
// what to do.
func ReadOTel(getenv func(name string) string) (OTel, error) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" {
		return OTel{}, nil
	}
	endpoint := false
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		text := getenv(name)
		if text == "" {
			continue
		}
		endpoint = true
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return OTel{}, fmt.Errorf("%s must be an address such as http://localhost:4318", name) // it may have a password
		}
	}
	switch {
	case exporter == "" && !endpoint:
		return OTel{}, nil
	case exporter != "" && exporter != "otlp":
		return OTel{}, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, not %q", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if text := getenv(name); text != "" && text != "http/protobuf" {
			return OTel{}, fmt.Errorf("%s must be http/protobuf, not %q: send traces to the HTTP port of the collector, usually 4318", name, text)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		if text := getenv(name); text != "" && !areHeaders(text) { // the exporter would log the value, which is usually a secret
			return OTel{}, fmt.Errorf("%s must be a list such as NAME=VALUE,NAME=VALUE, with %%2C for a comma and %%25 for a %% in a value", name)
		}
	}
	o := OTel{Traces: true, Continue: true, Sampler: ParentBasedAlwaysOn, Ratio: 1}
	if text := getenv("OTEL_PROPAGATORS"); text != "" {
		o.Continue = slices.Contains(strings.Split(text, ","), "tracecontext")
	}
	if text := getenv("OTEL_TRACES_SAMPLER"); text != "" {
		o.Sampler = text
	}
	if !slices.Contains(Samplers(), o.Sampler) {
		return OTel{}, fmt.Errorf("OTEL_TRACES_SAMPLER must be one of %s, not %q", strings.Join(Samplers(), ", "), o.Sampler)
	}
	if text := getenv("OTEL_TRACES_SAMPLER_ARG"); text != "" && strings.HasSuffix(o.Sampler, TraceIDRatio) {
		ratio, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) { // NaN is neither
			return OTel{}, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG must be a ratio from 0 to 1, not %q", text)
		}
		o.Ratio = ratio
	}
	return o, nil
}

// areHeaders reports whether the exporter can read a list of headers.
func areHeaders(list string) bool {
	for pair := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, err := url.PathUnescape(value); !ok || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}
