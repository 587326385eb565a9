// Package transfer imports and exports users and posts. It reads and writes CSV and JSON lines, plain or compressed,
// with any number of rows in bounded memory. Imports keep the rules of mutations. An import of an export restores the
// same data. The package knows neither the command line nor GraphQL nor drivers.
package transfer

// A Kind is the entity of a row: user or post.
type Kind string

// The kinds.
const (
	Users Kind = "users"
	Posts Kind = "posts"
)

// A Format is the format of a file.
type Format string

// The formats. JSONLines has a JSON object on each line. Spreadsheet is CSV with a byte-order mark, and with an
// apostrophe before each text that a spreadsheet would execute.
const (
	CSV         Format = "csv"
	JSONLines   Format = "jsonl"
	Spreadsheet Format = "spreadsheet"
)

// The names of fields, as in the contract: the columns of CSV and the members of a JSON object. A column has no members, so
// an identity is two columns.
const (
	idField        = "id"
	authorIDField  = "authorId"
	usernameField  = "username"
	emailField     = "email"
	statusField    = "status"
	identityField  = "identity" // an object in JSON, and two columns in CSV
	titleField     = "title"
	bodyField      = "body"
	createdAtField = "createdAt"
	updatedAtField = "updatedAt"
	versionField   = "version"
	postsField     = "posts" // the list of a user's posts in JSON

	issuerMember  = "issuer" // of the identity
	subjectMember = "subject"
	issuerColumn  = "identityIssuer"
	subjectColumn = "identitySubject"
)
