// Package profile describes what an operation did: its statements, and where its time went. A request asks for the profile
// of its operation, and the response has it in its extensions. The package depends neither on HTTP nor on GraphQL.
package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"roster/internal/record"
)

// Extension is the name of the extension of a response that has a *Profile.
const Extension = "profile"

// A Request asks for the profile of an operation.
type Request struct {
	// Plans asks for the plans of the statements too.
	Plans bool
}

type requestKey struct{}

// WithRequest returns a context whose operation is profiled.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, &r)
}

// FromContext returns the request for a profile in ctx, or nil.
func FromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// A Profile is the profile of an operation.
type Profile struct {
	// Statements are in the order of their ends.
	Statements []Statement `json:"statements"`
	// Omitted is the number of further statements, for which there was no room.
	Omitted int    `json:"omitted,omitempty"`
	Totals  Totals `json:"totals"`
}

// A Statement is a statement that was sent to the database.
type Statement struct {
	// Text has placeholders for all values.
	Text string `json:"text"`
	// Fields are the paths of the fields that asked for it, without indices. It is empty if the operation as a whole did.
	Fields []string `json:"fields"`
	// Rows is the number of rows that were read or, by a statement without rows, written.
	Rows   int64 `json:"rows"`
	TimeMS MS    `json:"timeMs"`
	Failed bool  `json:"failed,omitempty"`
	// Plan is the plan, in the form of the engine. It is empty if nobody asked for it, or if the engine explains no such
	// statement.
	Plan string `json:"plan,omitempty"`
}

// Totals are about all statements of the operation.
type Totals struct {
	Statements int   `json:"statements"`
	Rows       int64 `json:"rows"`
	// DatabaseTimeMS is the sum of the times of the statements. Some of them may have run at the same time.
	DatabaseTimeMS MS `json:"databaseTimeMs"`
	// TimeMS is the time of the operation.
	TimeMS MS `json:"timeMs"`
	// Way is the way of the answer: "plan", "resolvers" or "plan and resolvers".
	Way     string `json:"way"`
	Retries int    `json:"retries"`
	Cost    int64  `json:"cost"`
}

// MS is a time in milliseconds.
type MS float64

// Milliseconds returns a duration with the precision of a microsecond.
func Milliseconds(d time.Duration) MS { return MS(d.Microseconds()) / 1000 }

// MaxStatements is the greatest number of statements that a profile lists.
const MaxStatements = 200

// maxText is the maximum size of the text or the plan of a statement, in bytes.
const maxText = 8 << 10

// maxSize is the maximum size of a profile as JSON, in bytes.
const maxSize = 256 << 10

// New returns the profile of statements. plans has the plans of the first ones. It lists the first statements that fit into
// room, which is a size as JSON, in bytes.
func New(statements []record.Statement, plans []string, totals Totals, room int64) *Profile {
	p := &Profile{Statements: []Statement{}, Totals: totals}
	room = min(room, maxSize) - sizeOf(totals)
	for i := range statements[:min(len(statements), MaxStatements)] {
		s := &statements[i]
		out := Statement{
			Text: record.Short(s.Text, maxText), Fields: append([]string{}, s.Fields.Paths()...),
			Rows: s.Rows, TimeMS: Milliseconds(s.Took), Failed: s.Failed,
		}
		if i < len(plans) {
			out.Plan = record.Short(plans[i], maxText)
		}
		if room -= sizeOf(out); room < 0 {
			break
		}
		p.Statements = append(p.Statements, out)
	}
	p.Omitted = totals.Statements - len(p.Statements)
	return p
}

// sizeOf returns the size of a value as JSON, and a little more, in bytes.
func sizeOf(value any) int64 {
	text, _ := json.Marshal(value) // texts and numbers have no error
	const around = 64
	return int64(len(text)) + around
}

// ServerTiming returns the totals as the value of a header (https://www.w3.org/TR/server-timing/).
func (p *Profile) ServerTiming() string {
	return fmt.Sprintf(`total;dur=%.3f, db;dur=%.3f;desc="%d statements"`, p.Totals.TimeMS, p.Totals.DatabaseTimeMS, p.Totals.Statements)
}
