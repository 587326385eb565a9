package cli_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestManual checks that the manual page and the completion scripts have every command and every flag that the help has.
func TestManual(t *testing.T) {
	t.Parallel()
	text := map[string]string{}
	for name, line := range map[string]string{
		"man": "man", "bash": "completion bash", "zsh": "completion zsh", "fish": "completion fish",
	} {
		code, stdout, stderr := run(t, strings.Fields(line)...)
		if code != 0 || stderr != "" {
			t.Fatalf("%s: got code %d, stderr %q, want code 0", line, code, stderr)
		}
		text[name] = strings.ReplaceAll(stdout, `\-`, "-")
	}
	if want := ".TH ROSTER 1 \"\" \"roster 1.2.3\" \"User Commands\"\n"; !strings.HasPrefix(text["man"], want) {
		t.Errorf("man: got the start %.80q, want %q", text["man"], want)
	}
	var flags []string
	for _, command := range helpCommands(t, "") {
		if want := ".SS \"" + command; !strings.Contains(text["man"], want) {
			t.Errorf("man: got no section %q, want one", want)
		}
		if want := "' " + command + "'"; !strings.Contains(text["bash"], want) || !strings.Contains(text["fish"], want) {
			t.Errorf("bash and fish: got no %s, want it in both", want)
		}
		if want := "_roster_" + strings.ReplaceAll(command, " ", "_") + "() {"; !strings.Contains(text["zsh"], want) {
			t.Errorf("zsh: got no %s, want it", want)
		}
		_, help, _ := run(t, append(strings.Fields(command), "--help")...)
		for _, match := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--(\[no-\])?([\w-]+)`).FindAllStringSubmatch(help, -1) {
			flags = append(flags, match[2])
		}
	}
	slices.Sort(flags)
	flags = slices.Compact(flags)
	if len(flags) < 50 {
		t.Fatalf("got the flags %v, want those of all commands", flags)
	}
	for _, flag := range flags {
		if flag != "help" && !regexp.MustCompile(`\\fB(-\w, )?--(\[no-\])?`+flag+`\\fR`).MatchString(text["man"]) {
			t.Errorf("man: got no flag --%s, want it", flag)
		}
		if !strings.Contains(text["bash"], "--"+flag) || !strings.Contains(text["zsh"], "--"+flag) || !strings.Contains(text["fish"], " -l "+flag+" ") {
			t.Errorf("completion: got no flag --%s, want it for all shells", flag)
		}
	}
}

// helpCommands returns the commands without commands below them, which the help of a command lists.
func helpCommands(t *testing.T, command string) []string {
	t.Helper()
	_, help, _ := run(t, append(strings.Fields(command), "--help")...)
	_, list, found := strings.Cut(help, "\nCommands:\n")
	if !found {
		return []string{command}
	}
	var all []string
	for _, match := range regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  `).FindAllStringSubmatch(list, -1) {
		all = append(all, helpCommands(t, match[1])...)
	}
	return all
}
