package fuzzhttp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"

	"roster/graph/graphtest"
)

// The kinds of frames of RFC 6455.
const (
	frameText   = 0x1
	frameBinary = 0x2
	frameClose  = 0x8
	framePing   = 0x9
	framePong   = 0xa
)

// someFrames is how many frames a patient client waits for, if its operations do not all end before. The server sends
// pings, if nothing else.
const someFrames = 20

// closeCodes are those with which the server may close a socket: by RFC 6455 and by the sub-protocol.
func closeCodes() []int {
	return []int{1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1013, 4400, 4401, 4403, 4406, 4408, 4409, 4429}
}

// converse opens a WebSocket, sends random messages and frames, checks what comes back, and goes. It returns what it sent.
func (f *fuzz) converse(conn net.Conn, r *requester) (sent []byte, err error) {
	c := &conversation{
		fuzz: f, requester: r, conn: conn, enough: make(chan struct{}), subscribed: map[string]int{}, ended: map[string]int{},
	}
	head := "GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: " + r.mostly("13", "8", "x") + "\r\nSec-WebSocket-Key: " + r.mostly("dGhlIHNhbXBsZSBub25jZQ==", "", "x") + "\r\n" +
		"Sec-WebSocket-Protocol: " + r.mostly("graphql-transport-ws", "graphql-ws", "graphql-ws, graphql-transport-ws", "") + "\r\n" +
		"Origin: " + r.mostly("http://localhost", "https://app.example.com", "https://evil.example.com") + "\r\n" +
		r.mostly("", "Authorization: Bearer ada\r\n", "Authorization: Basic eA==\r\n", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")
	for _, header := range r.credentials() {
		head += header[0] + ": " + header[1] + "\r\n"
	}
	head += "\r\n"
	c.send([]byte(head))
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil) //nolint:bodyclose // Its end is that of the connection.
	if err != nil {
		return c.sent, fmt.Errorf("no answer to the handshake: %w", err)
	}
	f.count("socket " + response.Status)
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, err := io.ReadAll(response.Body)
		if err == nil {
			err = f.verify(text)
		}
		if response.StatusCode >= 500 && response.StatusCode != http.StatusServiceUnavailable {
			err = fmt.Errorf("answered %s", response.Status)
		}
		return c.sent, err
	}
	c.plan() // before anything is read, so that it follows from the seed alone
	listened := make(chan error, 1)
	go func() { listened <- c.listen(in) }()
	for _, message := range c.script {
		c.send(message)
	}
	if c.patient {
		select {
		case <-c.enough:
		case err := <-listened:
			return c.sent, err
		}
	}
	if !c.leaves {
		c.send(c.goodbye)
	} else {
		if tcp, ok := conn.(*net.TCPConn); ok && r.Chance(2) {
			_ = tcp.SetLinger(0) // resets the connection
		}
		conn.Close()
	}
	err = <-listened
	return c.sent, err
}

// mostly is the first text, or one of the others.
func (r *requester) mostly(usual string, others ...string) string {
	if r.Chance(25) {
		return graphtest.Pick(r.Random, others...)
	}
	return usual
}

// conversation is a WebSocket from the client's side.
type conversation struct {
	*fuzz
	requester *requester
	conn      net.Conn
	sent      []byte
	script    [][]byte // the frames to send
	goodbye   []byte   // the last of them
	patient   bool     // it waits for some frames before it says so
	leaves    bool     // without a word, and without waiting for the server's end
	lingers   bool     // it does not go when the server has closed the socket
	odd       bool     // the server may take the client for one that has gone astray

	frames            int            // of the server
	enough            chan struct{}  // closed after some, or when the operations have ended
	satisfied         bool           // it is closed
	subscribed, ended map[string]int // by ID
}

// send sends what the server may no longer want.
func (c *conversation) send(data []byte) {
	c.sent = append(c.sent, data...)
	_, _ = c.conn.Write(data)
}

// plan writes the script.
func (c *conversation) plan() {
	r := c.requester
	if !r.Chance(8) {
		c.message(`{"type":"connection_init"` + r.mostly("", `,"payload":{"Authorization":"Bearer ada"}`, `,"payload":{"headers":{"authorization":"Bearer bob"}}`,
			`,"payload":{"Authorization":"Basic eA=="}`, `,"payload":{"authorization":7}`, `,"payload":7`) + `}`)
	}
	for range 1 + r.Random.IntN(12) {
		switch r.Random.IntN(24) {
		case 0:
			c.message(`{"type":"ping"` + r.mostly("", `,"payload":{"a":[1]}`, `,"payload":null`) + `}`)
		case 1:
			c.message(`{"type":"pong"}`)
		case 2, 3, 4, 5:
			c.message(`{"type":"complete","id":` + r.text(c.id()) + `}`)
		case 6:
			c.frame(true, 0, framePing, bytes.Repeat([]byte("p"), r.Random.IntN(126)))
		case 7:
			if r.Chance(6) {
				c.message(graphtest.Pick(r.Random, `{"type":"connection_init"}`, `{"type":"connection_ack"}`, `{"type":"next","id":"1"}`, `{"Type":"ping"}`, `{}`, ``, `[]`, `{"type":"ping","type":"ping"}`))
			}
		case 8:
			if r.Chance(6) {
				c.junk()
			}
		default:
			c.subscribe()
		}
	}
	c.patient, c.leaves, c.lingers = !r.Chance(3), r.Chance(3), r.Chance(60)
	reason := binary.BigEndian.AppendUint16(nil, graphtest.Pick(r.Random, uint16(1000), 1001, 4000))
	c.frame(true, 0, frameClose, append(reason, r.mostly("", "bye", "\xff")...))
	last := len(c.script) - 1
	c.script, c.goodbye = c.script[:last], c.script[last]
}

// id is one of a few.
func (c *conversation) id() string {
	return c.requester.mostly(fmt.Sprint(c.requester.Random.IntN(1000)), "1", "é", strings.Repeat("i", 200), "\x01")
}

func (c *conversation) subscribe() {
	r := c.requester
	id := c.id()
	text := `{"id":` + r.text(id) + `,"type":"subscribe","payload":` + string(r.body(r.members())) + `}`
	if r.Chance(30) {
		text = string(r.mutate([]byte(text)))
		c.odd = true // what it became nobody knows
	}
	c.subscribed[id]++
	c.message(text)
}

// message adds a text, sometimes in several frames.
func (c *conversation) message(text string) {
	r := c.requester
	kind := byte(frameText)
	for len(text) > 1 && r.Chance(10) {
		n := r.Random.IntN(len(text))
		c.frame(false, 0, kind, []byte(text[:n]))
		text, kind = text[n:], 0
	}
	c.frame(true, 0, kind, []byte(text))
}

// junk adds what is no message.
func (c *conversation) junk() {
	r := c.requester
	switch r.Random.IntN(6) {
	case 0:
		c.frame(true, 0, frameBinary, []byte(`{"type":"ping"}`))
	case 1:
		c.frame(true, byte(1+r.Random.IntN(7)), frameText, []byte(`{"type":"ping"}`))
	case 2:
		c.frame(r.Chance(2), 0, byte(r.Random.IntN(16)), bytes.Repeat([]byte("x"), r.Random.IntN(200)))
	case 3:
		c.frame(true, 0, frameText, bytes.Repeat([]byte(" "), graphtest.Pick(r.Random, 100_000, 2<<20)))
	case 4:
		c.script = append(c.script, []byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // of 2^64 bytes
	default:
		c.script = append(c.script, r.mutate([]byte("noise")))
	}
}

// frame adds a frame, masked as a client's must be.
func (c *conversation) frame(final bool, reserved, kind byte, payload []byte) {
	first := kind | reserved<<4
	if final {
		first |= 0x80
	}
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	frame = append(frame, 0, 0, 0, 0) // a mask that leaves all as it is, to read what was sent
	c.script = append(c.script, append(frame, payload...))
}

// listen checks what the server sends until the connection ends.
func (c *conversation) listen(in *bufio.Reader) error {
	for {
		kind, payload, err := readFrame(in)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return errors.New("the server does not close the socket")
			}
			return nil // the connection has ended, whoever ended it
		}
		if c.frames++; c.frames == someFrames {
			c.satisfy()
		}
		switch kind {
		case frameText:
			if err := c.hear(payload); err != nil {
				return err
			}
		case frameClose:
			code := 1005
			if len(payload) >= 2 {
				code = int(binary.BigEndian.Uint16(payload))
			}
			c.count(fmt.Sprintf("socket closed with %d", code))
			if !slices.Contains(closeCodes(), code) && code != 4000 { // 4000 is the client's own
				return fmt.Errorf("closed with %d %s", code, payload[min(2, len(payload)):])
			}
			if !c.lingers {
				return nil
			}
		case framePing:
			_, _ = c.conn.Write([]byte{0x80 | framePong, 0x80, 0, 0, 0, 0}) // one that answers no ping in particular
		case framePong:
		default:
			return fmt.Errorf("a frame of kind %d", kind)
		}
	}
}

// readFrame reads a frame as a server sends it: whole, without extensions and a mask.
func readFrame(in *bufio.Reader) (kind byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch head[1] {
	case 126:
		var length uint16
		err = binary.Read(in, binary.BigEndian, &length)
		n = uint64(length)
	case 127:
		err = binary.Read(in, binary.BigEndian, &n)
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(in, payload)
	if head[0]&0xf0 != 0x80 {
		return 0xff, payload, err // not final, or with an extension
	}
	return head[0] & 0xf, payload, err
}

// hear checks a message by the rules of the sub-protocol.
func (c *conversation) hear(text []byte) error {
	var m struct {
		Type    string
		ID      string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("no message: %w in %.1000q", err, text)
	}
	c.count("socket " + m.Type)
	switch m.Type {
	case "connection_ack", "pong":
		return nil
	case "next", "error", "complete":
	default:
		return fmt.Errorf("no server sends %.1000q", text)
	}
	if !c.odd && (c.subscribed[m.ID] == 0 || c.ended[m.ID] == c.subscribed[m.ID]) {
		return fmt.Errorf("nobody waits for %.1000q", text)
	}
	if m.Type == "next" {
		c.callers.pays(c.requester.caller, m.Payload)
		return c.verify(m.Payload)
	}
	if c.ended[m.ID]++; maps.Equal(c.ended, c.subscribed) {
		c.satisfy()
	}
	if m.Type == "error" {
		return c.verifyErrors(m.Payload)
	}
	return nil
}

// satisfy lets a patient client go.
func (c *conversation) satisfy() {
	if !c.satisfied {
		c.satisfied = true
		close(c.enough)
	}
}
