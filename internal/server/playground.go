package server

import "embed"

// playground is the page at / with its script and its style, which need nothing from elsewhere.
//
//go:embed playground
var playground embed.FS

// playgroundPaths maps the addresses of the playground to its files.
func playgroundPaths() map[string]string {
	return map[string]string{
		"/{$}":            "playground/playground.html",
		"/playground.css": "playground/playground.css",
		"/playground.js":  "playground/playground.js",
	}
}
