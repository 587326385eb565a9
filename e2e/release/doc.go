// Package release tests what `make release` builds: that two builds are equal, that the packages can be installed, upgraded and
// removed, and that the program needs nothing but itself. `make release-test` runs it, as root, on a machine with dpkg,
// rpm, systemd's tools, mandoc, bash, zsh and fish. It changes nothing outside its temporary folders.
package release
