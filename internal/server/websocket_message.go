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

// message is a message of a client.
type message struct {
	kind    string
	id      string         // only for subscribe and complete
	payload map[string]any // may be nil
	size    int            // in bytes
}

// parseMessage reads a message by the rules of the sub-protocol, as strictly as the body of a request. most is the
// maximum number of JSON values. The errors repeat nothing that the client sent.
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
	m := message{size: len(data)}
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

// headerIn returns the value of a header in the payload of connection_init or, if there is none, in its object headers. The
// names of headers have any case. It ignores headers that are no object. The error is for the client.
func headerIn(payload map[string]any, name string) (value string, ok bool, err error) {
	value, ok, err = valueIn(payload, name)
	if headers, is := payload["headers"].(map[string]any); is && !ok && err == nil {
		return valueIn(headers, name)
	}
	return value, ok, err
}

func valueIn(object map[string]any, name string) (value string, ok bool, err error) {
	for key, v := range object {
		if !strings.EqualFold(key, name) {
			continue
		}
		text, isString := v.(string)
		switch {
		case !isString:
			return "", false, fmt.Errorf("%s in connection_init must be a string", name)
		case ok:
			return "", false, fmt.Errorf("%s in connection_init is doubled", name)
		}
		value, ok = text, true
	}
	return value, ok, nil
}

func isObject(value any) bool {
	_, ok := value.(map[string]any)
	return ok
}

// replyMessage returns a message that belongs to no operation. The payload may be nil. It panics if the payload cannot
// be encoded as JSON, which is a bug.
func replyMessage(kind string, payload map[string]any) []byte {
	if payload == nil {
		return layOut(kind, "")
	}
	return layOut(kind, "", encoded(payload))
}

// nextMessage returns the message with a response. It panics if errors or extensions cannot be encoded as JSON.
func nextMessage(id string, response *graphql.Response) []byte {
	parts, err := parts(response)
	if err != nil {
		panic(unencodable(err))
	}
	return layOut(messageNext, id, parts...)
}

// errorMessage returns the message with the errors of an operation. It panics if their extensions cannot be encoded as
// JSON.
func errorMessage(id string, errs gqlerror.List) []byte {
	return layOut(messageError, id, encoded(errs))
}

func completeMessage(id string) []byte { return layOut(messageComplete, id) }

// layOut returns a message. It does not use encoding/json, because the data of a response is JSON already. It allocates
// the right size at once, because the data may be large.
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

// duplicateReason returns the reason for closing a socket with two operations of the same ID. It shortens a long ID.
func duplicateReason(id string) string {
	const before, after = "Subscriber for ", " already exists"
	return before + shortened(id, maxReason-len(before)-len(after)) + after
}

// shortened returns the start of a text, at most size bytes, without a broken character.
func shortened(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size]
}
