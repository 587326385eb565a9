// Package transfer moves users and posts between files and databases: CSV and JSON lines, plain or compressed, any number
// of rows in bounded memory. What it imports keeps the same rules as what a mutation writes, and what it exports it
// imports again as it was. It knows neither the command line nor GraphQL nor drivers.
package transfer

// A Kind is what a row of a file is.
type Kind string

// The kinds.
const (
	Users Kind = "users"
	Posts Kind = "posts"
)

// A Format is how rows stand in a file.
type Format string

// The formats. JSONLines has a JSON object on each line. Spreadsheet is CSV with a byte-order mark, in which an apostrophe
// stands before each text that a spreadsheet would execute.
const (
	CSV         Format = "csv"
	JSONLines   Format = "jsonl"
	Spreadsheet Format = "spreadsheet"
)

// The names of what a row has, as clients know them: the columns of CSV and the members of a JSON object.
const (
	idField        = "id"
	authorIDField  = "authorId"
	usernameField  = "username"
	emailField     = "email"
	titleField     = "title"
	bodyField      = "body"
	createdAtField = "createdAt"
	updatedAtField = "updatedAt"
	versionField   = "version"
	postsField     = "posts" // of a user in JSON: a list of its posts
)
