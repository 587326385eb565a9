#!/bin/sh
# Runs after the package is removed: by dpkg as "remove", then "purge" if the settings go too, and by rpm as 0. The data of the
# service and its user stay, even after a purge: nobody should lose all users by the removal of a program.
set -e

case $1 in
remove | purge | 0) ;;
*) exit 0 ;;
esac

root=${DPKG_ROOT:-}

if [ -z "$root" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi

if [ "$1" != remove ] && [ -n "$(ls -A "$root/var/lib/roster" 2>/dev/null)" ]; then
	echo "roster: the data stay in /var/lib/roster: delete them with rm -r /var/lib/roster && userdel roster" >&2
fi
