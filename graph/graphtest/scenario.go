// Package graphtest is what tests of the API share: the files of requests and answers, and the parts of random
// operations.
package graphtest

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Scenario is a file of requests and answers, as graph/testdata has them.
type Scenario struct {
	Source []byte
	Prose  string // before the first step
	Steps  []*Step
}

// Step is a request and its answer.
type Step struct {
	Name     string
	Sections []Section // the first one is the document, unless it is empty
}

// Section is a part of a step. The document has no name.
type Section struct{ Name, Text string }

// Placeholder returns the pattern of a value that an earlier answer had: {{name}}.
func Placeholder() *regexp.Regexp { return regexp.MustCompile(`\{\{(\w+)\}\}`) }

// Repetition returns the pattern of a repeated text: {{text*number}}.
func Repetition() *regexp.Regexp { return regexp.MustCompile(`\{\{(\S.*?)\*(\d+)\}\}`) }

// Section returns the text of a section; empty when there is none.
func (s *Step) Section(name string) string {
	for _, section := range s.Sections {
		if section.Name == name {
			return section.Text
		}
	}
	return ""
}

// Answer returns the last section, which has the answer. It adds one when there is none.
func (s *Step) Answer() *Section {
	if last := &s.Sections[len(s.Sections)-1]; strings.HasPrefix(last.Name, "answer ") {
		return last
	}
	s.Sections = append(s.Sections, Section{Name: "answer "})
	return &s.Sections[len(s.Sections)-1]
}

// ReadScenario reads a file. The error names the file, and the step with a section that no reader knows.
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
	for _, step := range s.Steps { // the blank lines between the steps
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

// Text returns the scenario in the form of its file.
func (s *Scenario) Text() []byte {
	var b bytes.Buffer
	b.WriteString(s.Prose)
	for i, step := range s.Steps {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "=== %s\n", step.Name)
		for _, section := range step.Sections {
			if section.Name != "" {
				fmt.Fprintf(&b, "--- %s\n", section.Name)
			}
			b.WriteString(section.Text)
		}
	}
	return b.Bytes()
}
