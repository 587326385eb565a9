package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"roster/internal/dbtest/servers"
)

// host describes how to install programs on this machine.
type host struct {
	root     bool
	aptGet   string // the path of apt-get, or empty on a system that is not like Debian
	policy   string // the program that tells Debian's packages whether they may start services
	messages io.Writer
}

func thisHost(messages io.Writer) host {
	aptGet, err := exec.LookPath("apt-get")
	if err != nil {
		aptGet = ""
	}
	return host{root: os.Geteuid() == 0, aptGet: aptGet, policy: "/usr/sbin/policy-rc.d", messages: messages}
}

// ensure installs missing servers. If this process cannot do that, its error says what to do.
func ensure(ctx context.Context, needed []database, h host) error {
	var missing []error
	var packages, variables []string
	for _, d := range needed {
		if err := d.find(); err != nil {
			if m, ok := errors.AsType[*servers.MissingError](err); ok && m.Folder != "" {
				return err // no package puts it there
			}
			missing = append(missing, err)
			packages = append(packages, d.packages)
			variables = append(variables, d.variable)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if h.root && h.aptGet != "" {
		fmt.Fprintf(h.messages, "withservers: installing %s with apt-get, because a test database server is missing.\n",
			strings.Join(packages, " and "))
		if err := h.install(ctx, packages); err != nil {
			return err
		}
		for _, d := range needed {
			if err := d.find(); err != nil {
				return fmt.Errorf("after the installation of %s: %w", d.packages, err)
			}
		}
		return nil
	}
	return fmt.Errorf("%w\nInstall what is missing, on Debian or Ubuntu with\n\n    sudo apt-get install -y %s\n\n"+
		"or name a running server in %s", errors.Join(missing...),
		strings.Join(packages, " "), strings.Join(variables, " and "))
}

// install runs apt-get. It keeps the packages from starting services, since the tests run their own servers.
func (h host) install(ctx context.Context, packages []string) (err error) {
	policy, err := os.OpenFile(h.policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755) //nolint:gosec // G302: a program
	switch {
	case errors.Is(err, os.ErrExist): // keep the machine's own policy
	case err != nil:
		return fmt.Errorf("keep services from starting: %w", err)
	default:
		defer func() { err = errors.Join(err, os.Remove(h.policy)) }()
		_, err := policy.WriteString("#!/bin/sh\nexit 101\n")
		if err := errors.Join(err, policy.Close()); err != nil {
			return fmt.Errorf("keep services from starting: %w", err)
		}
	}
	arguments := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	if h.apt(ctx, arguments...) == nil {
		return nil
	}
	fmt.Fprintln(h.messages, "withservers: the list of packages may be missing or old; fetching it and trying again.")
	if err := h.apt(ctx, "update"); err != nil {
		return err
	}
	return h.apt(ctx, arguments...)
}

func (h host) apt(ctx context.Context, arguments ...string) error {
	// Another apt-get may hold the lock for a while, mostly on a new machine.
	cmd := exec.CommandContext(ctx, h.aptGet, append([]string{"-o", "DPkg::Lock::Timeout=120", "-q"}, arguments...)...)
	cmd.Env = append(cmd.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = h.messages, h.messages
	// Killing dpkg would leave the system half configured; an interrupt lets it finish its step.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", strings.Join(arguments, " "), err)
	}
	return nil
}
