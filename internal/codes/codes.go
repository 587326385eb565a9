// Package codes has the codes of errors. Each error of a response has its code in extensions.code.
package codes

// A Code is a value of the enum ErrorCode. Its description in schema.graphqls says what it means.
type Code string

// The codes, in the order of schema.graphqls.
const (
	Blank                  Code = "BLANK"
	Invalid                Code = "INVALID"
	TooLong                Code = "TOO_LONG"
	Taken                  Code = "TAKEN"
	NotFound               Code = "NOT_FOUND"
	StaleVersion           Code = "STALE_VERSION"
	HasDependents          Code = "HAS_DEPENDENTS"
	Unauthenticated        Code = "UNAUTHENTICATED"
	Forbidden              Code = "FORBIDDEN"
	ParseFailed            Code = "GRAPHQL_PARSE_FAILED"
	ValidationFailed       Code = "GRAPHQL_VALIDATION_FAILED"
	BadRequest             Code = "BAD_REQUEST"
	CostLimit              Code = "COST_LIMIT"
	RateLimited            Code = "RATE_LIMITED"
	Timeout                Code = "TIMEOUT"
	PersistedQueryNotFound Code = "PERSISTED_QUERY_NOT_FOUND"
	CursorInvalid          Code = "CURSOR_INVALID"
	CursorExpired          Code = "CURSOR_EXPIRED"
	IdempotencyKeyReused   Code = "IDEMPOTENCY_KEY_REUSED"
	Conflict               Code = "CONFLICT"
	OutcomeUnknown         Code = "OUTCOME_UNKNOWN"
	Unavailable            Code = "UNAVAILABLE"
	Internal               Code = "INTERNAL"
)
