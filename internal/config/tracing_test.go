package config_test

import (
	"strings"
	"testing"

	"roster/internal/config"
)

func TestReadOTel(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 "
	on := config.OTel{Traces: true, Continue: true, Sampler: config.ParentBasedAlwaysOn, Ratio: 1}
	ratio := config.OTel{Traces: true, Continue: true, Sampler: config.TraceIDRatio, Ratio: 0.25}
	alone := config.OTel{Traces: true, Sampler: config.AlwaysOff, Ratio: 1}
	for variables, test := range map[string]struct {
		want config.OTel
		says string
	}{
		"":                              {},
		"OTEL_TRACES_SAMPLER=always_on": {},
		endpoint:                        {want: on},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://collector.test/v1/traces": {want: on},
		"OTEL_TRACES_EXPORTER=otlp":                                                                              {want: on},
		endpoint + "OTEL_TRACES_EXPORTER=none":                                                                   {},
		endpoint + "OTEL_SDK_DISABLED=TRUE":                                                                      {},
		endpoint + "OTEL_SDK_DISABLED=no":                                                                        {want: on},
		endpoint + "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf":                                                   {want: on},
		endpoint + "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.25":                               {want: ratio},
		endpoint + "OTEL_TRACES_SAMPLER=always_off OTEL_TRACES_SAMPLER_ARG=x OTEL_PROPAGATORS=b3":                {want: alone},
		endpoint + "OTEL_PROPAGATORS=baggage,tracecontext":                                                       {want: on},
		"OTEL_EXPORTER_OTLP_ENDPOINT=user:secret@collector.test":                                                 {says: "OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://localhost:4318"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=unix:///x":                                                           {says: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be an address"},
		"OTEL_TRACES_EXPORTER=zipkin":                                                                            {says: `OTEL_TRACES_EXPORTER must be otlp or none, not "zipkin"`},
		endpoint + "OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                                                            {says: `OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not "grpc"`},
		endpoint + "OTEL_TRACES_SAMPLER=sometimes":                                                               {says: "OTEL_TRACES_SAMPLER must be one of always_on, "},
		endpoint + "OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=NaN":                    {says: `OTEL_TRACES_SAMPLER_ARG must be a ratio from 0 to 1, not "NaN"`},
		endpoint + "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2":                                  {says: "OTEL_TRACES_SAMPLER_ARG must be"},
		endpoint + "OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20secret,x-tenant=a":                          {want: on},
		endpoint + "OTEL_EXPORTER_OTLP_HEADERS=secret":                                                           {says: "OTEL_EXPORTER_OTLP_HEADERS must be a list such as NAME=VALUE"},
		endpoint + "OTEL_EXPORTER_OTLP_TRACES_HEADERS=authorization=secret%":                                     {says: "OTEL_EXPORTER_OTLP_TRACES_HEADERS must be a list"},
		endpoint + "OTEL_EXPORTER_OTLP_HEADERS=na@me=secret":                                                     {says: "OTEL_EXPORTER_OTLP_HEADERS must be a list"},
		"OTEL_EXPORTER_OTLP_ENDPOINT=http:// OTEL_TRACES_EXPORTER=otlp":                                          {says: "OTEL_EXPORTER_OTLP_ENDPOINT must be"},
		"OTEL_EXPORTER_OTLP_ENDPOINT=grpc://127.0.0.1:4317 OTEL_TRACES_EXPORTER=none OTEL_TRACES_SAMPLER=broken": {},
	} {
		environment := map[string]string{}
		for v := range strings.FieldsSeq(variables) {
			name, value, _ := strings.Cut(v, "=")
			environment[name] = value
		}
		got, err := config.ReadOTel(func(name string) string { return environment[name] })
		if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.HasPrefix(err.Error(), test.says) {
			t.Errorf("%s: got %+v, %v, want %+v, %q", variables, got, err, test.want, test.says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want no password", variables, err)
		}
	}
}
