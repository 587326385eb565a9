package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The description of the packages.
const (
	summary     = "users and posts as a GraphQL API"
	description = summary + "\nOne binary that stores users and their posts in SQLite, PostgreSQL, MariaDB or MySQL, with a change feed."
)

// pack writes the package of a platform with nfpm: deb or rpm.
func (r *release) pack(ctx context.Context, p platform, format, program string, documents, manuals []entry) error {
	contents := []content{
		r.file(program, "/usr/bin/roster", 0o755),
		r.file("ops/systemd/roster.service", "/usr/lib/systemd/system/roster.service", 0o644),
		r.file("ops/systemd/roster.socket", "/usr/lib/systemd/system/roster.socket", 0o644),
		r.file("ops/systemd/roster.sysusers", "/usr/lib/sysusers.d/roster.conf", 0o644),
	}
	settings := r.file("ops/systemd/roster.env", "/etc/roster/roster.env", 0o600)
	settings.Type = "config|noreplace"
	contents = append(contents, settings)

	places := map[string]string{
		bashCompletion: "/usr/share/bash-completion/completions/roster",
		zshCompletion:  "/usr/share/zsh/vendor-completions/_roster",
		fishCompletion: "/usr/share/fish/vendor_completions.d/roster.fish",
	}
	if format == "rpm" {
		places[zshCompletion] = "/usr/share/zsh/site-functions/_roster"
	}
	folder := filepath.Join(r.work, r.name(p)+"."+format)
	write := func(name, destination string, text []byte) error {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		contents = append(contents, r.file(path, destination, 0o644))
		return os.WriteFile(path, text, 0o600)
	}
	for _, m := range manuals {
		text, place := m.content, places[m.name]
		if m.name == manualPage {
			var err error
			if text, err = zipped(text); err != nil {
				return err
			}
			place = "/usr/share/man/man1/roster.1.gz"
		}
		if err := write(m.name, place, text); err != nil {
			return err
		}
	}
	for _, d := range documents {
		if err := write(d.name, "/usr/share/doc/roster/"+d.name, d.content); err != nil {
			return err
		}
	}

	c := packageConfig{
		Name: "roster", Arch: p.architecture, Platform: p.system, Version: packageVersion(r.version, r.time), VersionSchema: "none",
		Section: "net", Priority: "optional", Maintainer: "The developers of Roster", Description: description, MTime: r.time, Umask: 0o022,
		Contents: contents,
		Scripts: scripts{
			PostInstall: "ops/package/postinstall.sh", PreRemove: "ops/package/preremove.sh", PostRemove: "ops/package/postremove.sh",
		},
	}
	c.RPM.Summary, c.RPM.BuildHost = summary, "localhost" // else the name of this machine
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	config := filepath.Join(folder, "nfpm.yaml") // every JSON is YAML
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	return r.tool(ctx, "nfpm", "package", "--config", config, "--packager", format, "--target", filepath.Join(r.out, r.name(p)+"."+format))
}

// packageConfig is the configuration of nfpm.
type packageConfig struct {
	Name          string    `json:"name"`
	Arch          string    `json:"arch"`
	Platform      string    `json:"platform"`
	Version       string    `json:"version"`
	VersionSchema string    `json:"version_schema"`
	Section       string    `json:"section"`
	Priority      string    `json:"priority"`
	Maintainer    string    `json:"maintainer"`
	Description   string    `json:"description"`
	MTime         time.Time `json:"mtime"`
	Umask         int       `json:"umask"`
	Contents      []content `json:"contents"`
	Scripts       scripts   `json:"scripts"`
	RPM           struct {
		Summary   string `json:"summary"`
		BuildHost string `json:"buildhost"`
	} `json:"rpm"`
}

type scripts struct {
	PostInstall string `json:"postinstall"`
	PreRemove   string `json:"preremove"`
	PostRemove  string `json:"postremove"`
}

// content is a file of a package.
type content struct {
	Source      string   `json:"src"`
	Destination string   `json:"dst"`
	Type        string   `json:"type,omitempty"`
	Info        fileInfo `json:"file_info"`
}

type fileInfo struct {
	Owner string    `json:"owner"`
	Group string    `json:"group"`
	Mode  int       `json:"mode"`
	MTime time.Time `json:"mtime"`
}

func (r *release) file(source, destination string, mode int) content {
	return content{Source: source, Destination: destination, Info: fileInfo{"root", "root", mode, r.time}}
}

// packageVersion returns a version that dpkg and rpm order as git does. v1.2.3-rc.1 precedes v1.2.3, and v1.2.3-4-gabcdef, four
// commits after v1.2.3, follows it. A commit without any version is ordered by its time, before all versions.
func packageVersion(version string, at time.Time) string {
	parts := regexp.MustCompile(`^v?(\d+\.\d+\.\d+)(?:-([0-9A-Za-z.]+))??(?:-(\d+)-(g[0-9a-f]+))?$`).FindStringSubmatch(version)
	if parts == nil {
		return fmt.Sprintf("0~%s.%s", at.Format("20060102.150405"), strings.ReplaceAll(version, "-", "."))
	}
	result := parts[1]
	if parts[2] != "" {
		result += "~" + parts[2]
	}
	if parts[3] != "" {
		result += "+" + parts[3] + "." + parts[4]
	}
	return result
}
