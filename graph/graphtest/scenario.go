// Package graphtest reads files of requests and answers, and writes parts of random operations. The tests of package
// graph and of e2e/fuzzhttp share it.
package graphtest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A Scenario is a file of requests and answers from graph/testdata.
type Scenario struct {
	Source []byte
	Prose  string // before the first step
	Steps  []*Step
}

// A Step is a request and its answer.
type Step struct {
	Name     string
	Sections []Section // the first section is the document; it may be empty
}

// A Section is a part of a step. The document has no name.
type Section struct{ Name, Text string }

// Placeholder returns the pattern of a value from an earlier answer: {{name}}.
func Placeholder() *regexp.Regexp { return regexp.MustCompile(`\{\{(\w+)\}\}`) }

// Repetition returns the pattern of a repeated text: {{text*number}}.
func Repetition() *regexp.Regexp { return regexp.MustCompile(`\{\{(\S.*?)\*(\d+)\}\}`) }

// Section returns the text of a section, or an empty text.
func (s *Step) Section(name string) string {
	for _, section := range s.Sections {
		if section.Name == name {
			return section.Text
		}
	}
	return ""
}

// ReadScenario reads a file. The error names the file and the step with an unknown section.
func ReadScenario(file string) (*Scenario, error) {
	source, err := os.ReadFile(file) //nolint:gosec // G304: a file of the tests
	if err != nil {
		return nil, err
	}
	s := &Scenario{Source: source}
	into := &s.Prose
	for line := range strings.Lines(string(source)) {
		title := strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(title, "=== "); ok {
			s.Steps = append(s.Steps, &Step{Name: name, Sections: []Section{{}}})
			into = &s.Steps[len(s.Steps)-1].Sections[0].Text
			continue
		}
		if name, ok := strings.CutPrefix(title, "--- "); ok && len(s.Steps) > 0 {
			last := s.Steps[len(s.Steps)-1]
			last.Sections = append(last.Sections, Section{Name: name})
			into = &last.Sections[len(last.Sections)-1].Text
			continue
		}
		*into += line
	}
	for _, step := range s.Steps { // drop the blank lines between the steps
		last := &step.Sections[len(step.Sections)-1]
		last.Text = strings.TrimRight(last.Text, "\n") + "\n"
		for _, section := range step.Sections {
			if !slices.Contains([]string{"", "variables", "keep", "body", "quoted body", "get", "headers"}, section.Name) &&
				!strings.HasPrefix(section.Name, "answer ") {
				return nil, fmt.Errorf("%s: %s: there is no section %q", file, step.Name, section.Name)
			}
		}
	}
	return s, nil
}
