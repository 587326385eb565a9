// Package playground is the page at /: GraphiQL (https://github.com/graphql/graphiql) on the endpoint of the same
// server. A build step downloads its files from npm, by exact version and checksum (see fetch), and embeds them. So the
// page works without a network. In a binary without these files, the page says so, and takes the same files, with the
// same checksums, from a CDN. The package knows nothing of GraphQL's execution.
package playground

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
)

// files are all files of the page. The build step fills the folder assets.
//
//go:embed files.json page assets
var files embed.FS

// cdn has the files of every npm package.
const cdn = "https://cdn.jsdelivr.net"

// A Manifest names the packages and files from npm.
type Manifest struct {
	Packages []Package `json:"packages"`
	Files    []File    `json:"files"`
}

// A Package is one package of npm in one version.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// A File is one file of a package. Name is its name here.
type File struct {
	Name    string `json:"name"`
	Package string `json:"package"`
	Path    string `json:"path"`
	// Integrity is the SHA-384 of the file, in the form of Subresource Integrity.
	Integrity string `json:"integrity"`
}

// ReadManifest returns the packages and files that the page needs from npm.
func ReadManifest() (Manifest, error) {
	var m Manifest
	text, err := files.ReadFile("files.json")
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// source is the address and the checksum of one file of the page.
type source struct{ URL, Integrity string }

// Handler serves the page at /, and its files below /playground/. The page has only relative addresses, so it works
// below a prefix that a proxy removes.
func Handler() (http.Handler, error) { return handler(files) }

func handler(files fs.FS) (http.Handler, error) {
	m, err := ReadManifest()
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, p := range m.Packages {
		versions[p.Name] = p.Version
	}
	own := true
	for _, f := range m.Files {
		if _, err := fs.Stat(files, "assets/"+f.Name); err != nil {
			own = false
		}
	}
	sources := map[string]source{}
	for _, f := range m.Files {
		s := source{URL: "./playground/" + f.Name, Integrity: f.Integrity}
		if !own {
			s.URL = fmt.Sprintf("%s/npm/%s@%s/%s", cdn, f.Package, versions[f.Package], f.Path)
		}
		sources[f.Name] = s
	}
	page, err := template.ParseFS(files, "page/index.html")
	if err != nil {
		return nil, err
	}
	var html bytes.Buffer
	if err := page.Execute(&html, map[string]any{"Own": own, "Sources": sources}); err != nil {
		return nil, err
	}
	policy := policy(own)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(html.Bytes()) // the client may have disconnected
	})
	for _, f := range m.Files {
		mux.HandleFunc("/playground/"+f.Name, serve(files, "assets/"+f.Name))
	}
	for _, name := range []string{"playground.js", "playground.css"} {
		mux.HandleFunc("/playground/"+name, serve(files, "page/"+name))
	}
	return mux, nil
}

func serve(files fs.FS, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) }
}

// policy allows the page its own scripts, styles and server, and nothing else. GraphiQL sets styles from its script,
// and has its fonts in its stylesheet.
func policy(own bool) string {
	from := "'self'"
	if !own {
		from += " " + cdn
	}
	return "default-src 'none'; script-src " + from + "; style-src " + from + " 'unsafe-inline'; font-src data:; " +
		"img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
