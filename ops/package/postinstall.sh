#!/bin/sh
# Runs after an installation or an upgrade: by dpkg as "configure", and by rpm as 1 (installed) or 2 (upgraded).
# DPKG_ROOT is the root of the system that dpkg installs into, if that is another one.
set -e

case $1 in
configure | 1 | 2) ;;
*) exit 0 ;;
esac

root=${DPKG_ROOT:-}

if ! grep -q '^roster:' "$root/etc/passwd" 2>/dev/null; then
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers ${root:+"--root=$root"} roster.conf
	else
		useradd ${root:+--prefix "$root"} --system --user-group --no-create-home --home-dir /var/lib/roster \
			--shell /usr/sbin/nologin --comment Roster roster
	fi
fi

# The owner by number: the names of another root are not those of this system.
owner=$(sed -n 's/^roster:[^:]*:\([0-9]*\):\([0-9]*\):.*/\1:\2/p' "$root/etc/passwd")
if [ ! -d "$root/var/lib/roster" ]; then
	mkdir -p "$root/var/lib/roster"
	chmod 0750 "$root/var/lib/roster"
	chown "$owner" "$root/var/lib/roster"
fi

# In a container or another root, there is no systemd to talk to.
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# A running server is handed over to the new version: no request fails. If the new one does not start, the old one goes on.
	if systemctl --quiet is-active roster.service; then
		systemctl reload roster.service || true
	fi
fi
