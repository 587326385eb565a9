package typeid

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Source creates IDs. The IDs of one Source strictly increase, even within a millisecond and when the clock steps back.
// So the order of IDs is the order of creation. A Source is safe for concurrent use.
type Source struct {
	clock  func() time.Time
	random io.Reader

	mu   sync.Mutex
	last uuid.UUID
}

// NewSource returns a Source that takes times from clock and randomness from random. random must not fail;
// crypto/rand.Reader never does.
func NewSource(clock func() time.Time, random io.Reader) *Source {
	return &Source{clock: clock, random: random}
}

// New returns the next ID of the given type.
func (s *Source) New(kind string) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh uuid.UUID
	if _, err := io.ReadFull(s.random, fresh[6:]); err != nil {
		panic(fmt.Sprintf("typeid: no randomness: %v", err))
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(s.clock().UnixMilli()))
	copy(fresh[:6], ms[2:])
	if string(fresh[:6]) <= string(s.last[:6]) {
		fresh = successor(s.last, fresh)
	}
	fresh[6] = fresh[6]&0x0f | 0x70 // version 7
	fresh[8] = fresh[8]&0x3f | 0x80 // variant RFC 9562
	s.last = fresh
	return New(kind, fresh)
}

// successor adds a random step of 1 to 2^32 to the bits of last after the variant (RFC 9562, section 6.2, method 2). It
// carries an overflow into the field before the variant, and from there, very rarely, into the time.
func successor(last, random uuid.UUID) uuid.UUID {
	low := binary.BigEndian.Uint64(last[8:]) & (1<<62 - 1)
	low += uint64(binary.BigEndian.Uint32(random[12:])) + 1
	next := last
	binary.BigEndian.PutUint64(next[8:], low&(1<<62-1))
	if low>>62 != 0 {
		high := binary.BigEndian.Uint64(last[:8])
		counter := high&0x0fff + 1
		ms := high>>16 + counter>>12
		binary.BigEndian.PutUint64(next[:8], ms<<16|counter&0x0fff)
	}
	return next
}
