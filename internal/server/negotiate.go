package server

import (
	"cmp"
	"mime"
	"strconv"
	"strings"
)

// The media types of an answer. GraphQL over HTTP defines the first two, GraphQL over Server-Sent Events the third.
const (
	typeJSON     = "application/json"
	typeResponse = "application/graphql-response+json"
	typeEvents   = "text/event-stream"
)

// choice is one element of an Accept or Accept-Encoding header.
type choice struct {
	value   string // in lower case
	charset string // "" if there is none
	quality float64
}

// choices parses the lines of a header by RFC 9110, section 12.4.2. It ignores elements that break the grammar.
func choices(lines []string) []choice {
	var list []choice
	for _, element := range splitList(strings.Join(lines, ",")) {
		value, params, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		c := choice{value: value, charset: params["charset"], quality: 1}
		if q, given := params["q"]; given {
			if c.quality, err = strconv.ParseFloat(q, 64); err != nil || !(0 <= c.quality && c.quality <= 1) {
				continue
			}
		}
		list = append(list, c)
	}
	return list
}

// splitList splits a header at the commas outside quoted strings.
func splitList(header string) []string {
	quoted, escaped := false, false
	return strings.FieldsFunc(header, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
}

// negotiate chooses the media type of an answer from the lines of the Accept header, or returns "" if none is
// acceptable. The highest quality wins. For equal qualities, the most exact range wins. For equal ranges:
//
//   - application/graphql-response+json wins if the header names it.
//   - Otherwise application/json wins, since every client understands it.
//   - text/event-stream never wins against JSON.
//
// All answers are UTF-8, so a range with another charset does not match.
func negotiate(accept []string) string {
	if strings.Trim(strings.Join(accept, ""), " \t") == "" {
		return typeJSON
	}
	list := choices(accept)
	best, chosen := rate(list, typeJSON), typeJSON
	if response := rate(list, typeResponse); cmp.Or(response.compare(best), cmp.Compare(response.exactness, byType)) > 0 {
		best, chosen = response, typeResponse
	}
	if events := rate(list, typeEvents); events.compare(best) > 0 {
		best, chosen = events, typeEvents
	}
	if best.quality == 0 {
		return ""
	}
	return chosen
}

// acceptsEvents reports whether the lines of an Accept header name event streams: text/event-stream or text/*. A client
// that sends only */* expects an answer that ends.
func acceptsEvents(accept []string) bool {
	events := rate(choices(accept), typeEvents)
	return events.quality > 0 && events.exactness > byAny
}

// rating is the result of an Accept header for one media type. It is zero if no range matches.
type rating struct {
	quality   float64
	exactness exactness
}

func (r rating) compare(s rating) int {
	return cmp.Or(cmp.Compare(r.quality, s.quality), cmp.Compare(r.exactness, s.exactness))
}

// exactness orders media ranges. The most exact range that matches a media type decides.
type exactness int

const (
	notAtAll exactness = iota
	byAny              // */*
	byType             // application/*, text/*
	exactly
)

func rate(list []choice, mediaType string) rating {
	var best rating
	kind, _, _ := strings.Cut(mediaType, "/")
	for _, c := range list {
		if c.charset != "" && !isUTF8(c.charset) {
			continue
		}
		level := notAtAll
		switch c.value {
		case mediaType:
			level = exactly
		case kind + "/*":
			level = byType
		case "*/*":
			level = byAny
		}
		if level > best.exactness {
			best = rating{quality: c.quality, exactness: level}
		}
	}
	return best
}

// acceptsGzip reports whether the lines of an Accept-Encoding header allow gzip.
func acceptsGzip(lines []string) bool {
	quality := 0.0
	for _, c := range choices(lines) {
		switch c.value {
		case "gzip":
			return c.quality > 0
		case "*":
			quality = c.quality
		}
	}
	return quality > 0
}
