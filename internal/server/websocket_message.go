package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"roster/internal/strictjson"
)

// The types of messages.
const (
	messageInit      = "connection_init"
	messageAck       = "connection_ack"
	messagePing      = "ping"
	messagePong      = "pong"
	messageSubscribe = "subscribe"
	messageNext      = "next"
	messageError     = "error"
	messageComplete  = "complete"
)

// maxReason is the longest reason of a close frame, in bytes.
const maxReason = 123

// message is what a client sends.
type message struct {
	kind    string
	id      string         // of a subscribe and a complete
	payload map[string]any // nil without one
}

// parseMessage reads a message by the rules of the sub-protocol, and as strictly as the body of a
// request, with at most so many values. Its errors never repeat what the client sent.
func parseMessage(data []byte, most int) (message, error) {
	object, err := strictjson.Parse(data, most)
	if err != nil {
		return message{}, fmt.Errorf("a message must be one JSON object: %w", err)
	}
	for _, name := range []string{"type", "id", "payload"} {
		for key := range object {
			if key != name && strings.EqualFold(key, name) {
				return message{}, fmt.Errorf("the %s of a message is written in another case", name)
			}
		}
	}
	var m message
	if !take(object, "type", &m.kind) || m.kind == "" {
		return message{}, errors.New("a message must have a type, a string")
	}
	withPayload := take(object, "payload", &m.payload)
	withID := take(object, "id", &m.id) && m.id != ""
	switch m.kind {
	case messageInit, messagePing, messagePong:
		if !withPayload {
			return message{}, fmt.Errorf("the payload of a %s message must be an object", m.kind)
		}
	case messageSubscribe, messageComplete:
		if !withID {
			return message{}, fmt.Errorf("a %s message must have an id, a string", m.kind)
		}
		if m.kind == messageSubscribe && m.payload == nil {
			return message{}, errors.New("a subscribe message must have a payload, an object")
		}
	default:
		return message{}, errors.New("no client sends messages of this type")
	}
	return m, nil
}

// replyMessage has the payload of the client's message or of the server's, nil for none. It panics
// when that cannot be JSON, a mistake in the program.
func replyMessage(kind string, payload map[string]any) []byte {
	if payload == nil {
		return layOut(kind, "")
	}
	return layOut(kind, "", encoded(payload))
}

// nextMessage panics when the response's errors or extensions cannot be JSON.
func nextMessage(id string, response *graphql.Response) []byte {
	parts, err := parts(response)
	if err != nil {
		panic(unencodable(err))
	}
	return layOut(messageNext, id, parts...)
}

// errorMessage panics when an error's extensions cannot be JSON.
func errorMessage(id string, errs gqlerror.List) []byte {
	return layOut(messageError, id, encoded(errs))
}

func completeMessage(id string) []byte { return layOut(messageComplete, id) }

// layOut writes a message by hand, for the data of a response is finished JSON: into memory of the right size, for it
// may be large.
func layOut(kind, id string, payload ...[]byte) []byte {
	head := `{"type":"` + kind + `"`
	if id != "" {
		head += `,"id":` + string(encoded(id))
	}
	if len(payload) > 0 {
		head += `,"payload":`
	}
	size := len(head) + len("}")
	for _, part := range payload {
		size += len(part)
	}
	b := append(make([]byte, 0, size), head...)
	for _, part := range payload {
		b = append(b, part...)
	}
	return append(b, '}')
}

func encoded(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(unencodable(err))
	}
	return data
}

// duplicateReason is what a client learns that gives two operations at a time one ID. Of a long ID,
// it repeats what has a place in a reason.
func duplicateReason(id string) string {
	const before, after = "Subscriber for ", " already exists"
	return before + shortened(id, maxReason-len(before)-len(after)) + after
}

// shortened is as much of the beginning of a text as fits into size bytes.
func shortened(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}
