package documents

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// byteOrderMark is what some editors write before a text in UTF-8.
const byteOrderMark = "\uFEFF"

// ReadTrusted reads a file of trusted documents: one JSON object from the keys of documents, which are their hashes as a
// rule, to their texts, as the client preset of graphql-codegen writes it. A byte order mark before it is passed over. Errors do not repeat what is in the file.
func ReadTrusted(r io.Reader) (map[string]string, error) {
	buffered := bufio.NewReader(r)
	if mark, _ := buffered.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark)) // they are in the buffer
	}
	decoder := json.NewDecoder(buffered)
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, notTrusted(decoder, err, "no JSON object")
	}
	documents := map[string]string{}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, notTrusted(decoder, err, "no key")
		}
		name, _ := key.(string)
		if _, doubled := documents[name]; doubled || name == "" {
			return nil, notTrusted(decoder, nil, "a key that is empty or doubled")
		}
		text, err := decoder.Token()
		document, isText := text.(string)
		if err != nil || !isText {
			return nil, notTrusted(decoder, err, "a document that is no string")
		}
		documents[name] = document
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notTrusted(decoder, err, "no end")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, notTrusted(decoder, nil, "something after the object")
	}
	if len(documents) == 0 {
		return nil, errors.New("no document: nothing would be executed")
	}
	return documents, nil
}

func notTrusted(decoder *json.Decoder, err error, fault string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		fault = "no end"
	}
	return fmt.Errorf("%s before byte %d", fault, decoder.InputOffset())
}
