package cli

import (
	"context"
	"io"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"roster/internal/database"
	"roster/internal/janitor"
)

// PruneKeys is the chore of a server.
func PruneKeys(db *database.DB, age time.Duration, rows int) janitor.Chore {
	return pruneKeys(db, age, rows)
}

// PruneChanges is the chore of a server.
func PruneChanges(db *database.DB, age time.Duration) janitor.Chore { return pruneChanges(db, age) }

// MemoryLimit is the limit of a server that runs in a container, as a process, on a machine.
func MemoryLimit(inContainer, process, machine memlimit.Provider) int64 {
	return memoryLimit(container(inContainer), memlimit.ApplyRatio(process, ofProcess), memlimit.ApplyRatio(machine, ofMachine))
}

// AnswerMemory is what a server has for answers.
func AnswerMemory(configured, limit int64) int64 { return answerMemory(configured, limit) }

// Pace is the soft limit of a server with so many bytes in use, in the heap and beside it.
func Pace(heap, beside, most int64) int64 { return pace(heap, beside, most) }

// MemoryInUse is the memory in use, in the heap and beside it.
func MemoryInUse() (heap, beside int64) { return memoryInUse() }

// Operator is the name of an operating-system user.
func Operator(number int) string { return operator(number) }

// BareToken is the token in the input of roster token explain.
func BareToken(input string) string { return bareToken(input) }

// RunWith is Run with another clock and another amount of free bytes.
func RunWith(ctx context.Context, args []string, stdout, stderr io.Writer, clock func() time.Time, free func(string) (int64, error)) int {
	return run(ctx, args, &environment{getenv: func(string) string { return "" }, stdout: stdout, stderr: stderr, clock: clock, free: free})
}
