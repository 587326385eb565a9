package cli

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"

	"roster/internal/database"
)

// record logs the end of an import, export, backup or restore: the person who ran it, the file, the result, and numbers. An
// auditor reads these lines, so each of them has one, whatever its result is. message is such as "imported".
func record(ctx context.Context, logger *slog.Logger, message, file string, err error, numbers ...any) {
	attributes := append([]any{"by", bounded(operator(os.Getuid())), "file", bounded(file), "result", result(ctx, err)}, numbers...)
	logger.InfoContext(ctx, message, attributes...)
}

// result returns the result of an import or export for the log.
func result(ctx context.Context, err error) string {
	failure := database.AsFailure(err)
	switch {
	case err == nil:
		return "complete"
	case failure != nil && failure.Kind == database.Unknown: // the last commit may have happened
		return "unknown"
	case ctx.Err() != nil:
		return "interrupted"
	}
	return "failed"
}

// operator returns the name of the operating-system user with a number, or the number if it has no name. It does not ask
// the environment: USER can say anything. A negative number is a system without numbers of users, such as Windows.
func operator(number int) string {
	id := strconv.Itoa(number)
	u, err := user.LookupId(id)
	if number < 0 {
		u, err = user.Current()
	}
	if err != nil || u.Username == "" {
		return "uid " + id
	}
	return u.Username
}

// maxBounded is the maximum length of a text that bounded returns, in bytes, without the sign that it is cut.
const maxBounded = 256

// bounded returns the start of a text that comes from outside, for the log. The log escapes it.
func bounded(text string) string {
	if len(text) <= maxBounded {
		return text
	}
	return strings.ToValidUTF8(text[:maxBounded], "") + "…"
}
