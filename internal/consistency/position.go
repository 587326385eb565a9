// Package consistency has the token by which a client reads what it has written: a position in the log of a database. It knows
// neither requests nor databases. Package database reads and compares positions of servers.
package consistency

import (
	"cmp"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// ErrMalformed is the error of a text that is not the token of a position.
var ErrMalformed = errors.New("is not a token of this server")

// A Log is the kind of log that a position is in.
type Log byte

// The kinds of logs.
const (
	// WAL is PostgreSQL's write-ahead log. Branch is the timeline, and Number is the LSN.
	WAL Log = 1
	// GTID is MariaDB's binary log. Branch is the domain, Number the sequence number, and Server the server that wrote it.
	GTID Log = 2
	// Galera is the order of commits of a MariaDB Galera cluster. A position is always the last one: a node waits for all that the
	// cluster has committed.
	Galera Log = 3
)

// A Database identifies the contents of a database: the first bytes of the epoch of its feed. A database that was restored from
// a backup has another one.
type Database [8]byte

// A Position is a place in the log of a database. The zero Position is none.
type Position struct {
	Database Database
	Log      Log
	Branch   uint32
	Number   uint64
	Server   uint32
}

// Ahead returns a position for a commit whose place in the log is not known: it is not after the given one. No server reaches the
// result, and later commits can have smaller positions. So a read after it needs all that the primary has when the read begins.
func Ahead(latest Position) Position {
	latest.Server = math.MaxUint32
	return latest
}

// IsAhead reports whether the position is one of Ahead. It may be of an unknown database, the zero one.
func (p Position) IsAhead() bool {
	return (p.Log == WAL || p.Log == GTID) && p.Server == math.MaxUint32 && p.Branch != math.MaxUint32
}

// Last returns the position after all positions of a log. No server has reached it.
func Last(d Database, log Log) Position {
	return Position{Database: d, Log: log, Branch: math.MaxUint32, Number: math.MaxUint64, Server: math.MaxUint32}
}

// IsZero reports whether there is no position.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders positions of one log. Positions of different logs are in an arbitrary order.
func (p Position) Compare(q Position) int {
	return cmp.Or(
		cmp.Compare(string(p.Database[:]), string(q.Database[:])), cmp.Compare(p.Log, q.Log),
		cmp.Compare(p.Branch, q.Branch), cmp.Compare(p.Number, q.Number), cmp.Compare(p.Server, q.Server),
	)
}

// A token is the base32hex of the version, the values of the position, and a checksum. base32hex keeps the order of bytes. So
// the tokens of one log compare as texts as their positions do, and a client with two tokens keeps the greater one. The checksum
// finds damage; it is neither a secret nor a signature.
const (
	version    = 1
	databaseAt = 1
	logAt      = databaseAt + len(Database{})
	branchAt   = logAt + 1
	numberAt   = branchAt + 4
	serverAt   = numberAt + 8
	checksumAt = serverAt + 4
	size       = checksumAt + 4
)

// String returns the token of the position, of 48 characters.
func (p Position) String() string {
	b := make([]byte, 0, size)
	b = append(b, version)
	b = append(b, p.Database[:]...)
	b = append(b, byte(p.Log))
	b = binary.BigEndian.AppendUint32(b, p.Branch)
	b = binary.BigEndian.AppendUint64(b, p.Number)
	b = binary.BigEndian.AppendUint32(b, p.Server)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base32.HexEncoding.EncodeToString(b)
}

// Parse reads a token. The error is ErrMalformed.
func Parse(token string) (Position, error) {
	if len(token) != base32.HexEncoding.EncodedLen(size) {
		return Position{}, ErrMalformed
	}
	var b [size]byte
	n, err := base32.HexEncoding.Decode(b[:], []byte(token))
	if err != nil || n != size || b[0] != version || binary.BigEndian.Uint32(b[checksumAt:]) != crc32.ChecksumIEEE(b[:checksumAt]) {
		return Position{}, ErrMalformed
	}
	p := Position{
		Database: Database(b[databaseAt:logAt]),
		Log:      Log(b[logAt]),
		Branch:   binary.BigEndian.Uint32(b[branchAt:]),
		Number:   binary.BigEndian.Uint64(b[numberAt:]),
		Server:   binary.BigEndian.Uint32(b[serverAt:]),
	}
	if p.Log == 0 || p.String() != token { // the decoder skips line breaks
		return Position{}, ErrMalformed
	}
	return p, nil
}
