package server

import "testing"

func TestNegotiate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		accept []string
		want   string
	}{
		{nil, typeJSON},
		{[]string{""}, typeJSON},
		{[]string{"*/*"}, typeJSON},
		{[]string{"application/*"}, typeJSON},
		{[]string{"application/json"}, typeJSON},
		{[]string{"Application/JSON; Charset=UTF-8"}, typeJSON},
		{[]string{"application/json; charset=utf8"}, typeJSON},
		{[]string{`application/json; charset="UTF-8"`}, typeJSON},
		{[]string{"application/graphql-response+json"}, typeResponse},
		{[]string{"application/graphql-response+json; charset=utf-8, application/json;q=0.9"}, typeResponse},
		{[]string{"application/graphql-response+json;q=0.9, application/json;q=0.91"}, typeJSON},
		{[]string{"application/json, application/graphql-response+json"}, typeResponse},
		{[]string{"application/json", "application/graphql-response+json"}, typeResponse},
		{[]string{"application/graphql-response+json, */*"}, typeResponse},
		{[]string{"application/graphql-response+json;q=0.5, */*"}, typeJSON},
		{[]string{"application/json, */*"}, typeJSON},
		{[]string{"application/json;q=0, */*"}, typeResponse},
		{[]string{"application/json;q=0, application/*;q=0.1"}, typeResponse},
		{[]string{`text/html;title="a,application/json", */*;q=0.1`}, typeJSON},
		{[]string{"multipart/mixed;deferSpec=20220824,application/graphql-response+json,application/json;q=0.9"}, typeResponse},
		{[]string{"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"}, typeResponse},
		{[]string{"application/json;q=x, application/graphql-response+json;q=2"}, ""},
		{[]string{"application/json;q=NaN"}, ""},
		{[]string{"application/json;charset=utf-16"}, ""},
		{[]string{"application/json;q=0"}, ""},
		{[]string{"*/*;q=0"}, ""},
		{[]string{"text/html"}, ""},
		{[]string{"text/*;q=0.5, */*;q=0.1"}, typeEvents},
		{[]string{"text/event-stream"}, typeEvents},
		{[]string{"text/event-stream, */*"}, typeEvents},
		{[]string{"Text/Event-Stream; charset=utf-8"}, typeEvents},
		{[]string{"text/event-stream, multipart/mixed"}, typeEvents},
		{[]string{"text/event-stream, application/json;q=0.9"}, typeEvents},
		{[]string{"text/event-stream, application/json"}, typeJSON},
		{[]string{"text/event-stream, application/graphql-response+json"}, typeResponse},
		{[]string{"text/event-stream;q=0.9, application/json"}, typeJSON},
		{[]string{"text/event-stream;q=0.5, */*"}, typeJSON},
		{[]string{"text/*, application/*"}, typeJSON},
		{[]string{"text/event-stream;q=0"}, ""},
		{[]string{`text/html;title="application/json, */*`}, ""},
	} {
		if got := negotiate(test.accept); got != test.want {
			t.Errorf("%q: got %q, want %q", test.accept, got, test.want)
		}
	}
}

func TestAcceptsEvents(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"":                                      false,
		"*/*":                                   false,
		"application/json":                      false,
		"application/json, */*;q=0.1":           false,
		"application/*":                         false,
		"text/event-stream":                     true,
		"text/*":                                true,
		"text/event-stream;q=0.1, */*":          true,
		"application/json, text/event-stream":   true,
		"text/event-stream;q=0, text/*":         false,
		"text/event-stream;charset=iso-8859-15": false,
	} {
		if got := acceptsEvents([]string{header}); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"":                       false,
		"identity":               false,
		"gzip":                   true,
		"GZIP":                   true,
		"br, gzip;q=0.5":         true,
		"gzip;q=0":               false,
		"*":                      true,
		"*;q=0":                  false,
		"gzip;q=0, *":            false,
		"*;q=0, gzip":            true,
		"deflate, br;q=1, *;q=0": false,
	} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}
