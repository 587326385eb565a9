package documents

import (
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"roster/internal/strictjson"
)

// ReadTrusted reads a file of trusted documents: a JSON object that maps keys, usually hashes, to the texts of
// documents. The client preset of graphql-codegen writes such files. The errors repeat nothing of the file.
func ReadTrusted(r io.Reader) (map[string]string, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	object, err := strictjson.Parse(text, 0)
	if err != nil {
		return nil, err
	}
	documents := make(map[string]string, len(object))
	for key, value := range object {
		document, isText := value.(string)
		if key == "" || !isText {
			return nil, errors.New("a key is empty, or a document is no string")
		}
		documents[key] = document
	}
	if len(documents) == 0 {
		return nil, errors.New("no document: nothing would be executed")
	}
	return documents, nil
}

// Names returns the names of the operations of trusted documents, in order. It leaves out documents that cannot be read: New
// returns an error for those.
func Names(trusted map[string]string) []string {
	names := map[string]bool{}
	for _, text := range trusted {
		doc, err := parser.ParseQuery(&ast.Source{Input: text})
		if err != nil {
			continue
		}
		for _, o := range doc.Operations {
			if o.Name != "" {
				names[o.Name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
