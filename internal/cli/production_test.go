package cli

import (
	"testing"

	"roster/internal/config"
)

func TestProduction(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]bool{"development": true, "production": false} {
		c := &serveCommand{GraphQL: config.GraphQL{Introspection: true}, Doors: config.Doors{Mode: mode}}
		page, err := c.page()
		if got := page != nil; err != nil || got != want || c.showSchema() != want {
			t.Errorf("%s: got a playground %v, the schema %v, %v, want %v", mode, got, c.showSchema(), err, want)
		}
	}
}
