#!/bin/sh
# Runs before the package is removed: by dpkg as "remove", and by rpm as 0. An upgrade ("upgrade" or 1) stops nothing.
set -e

case $1 in
remove | 0) ;;
*) exit 0 ;;
esac

if [ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]; then
	systemctl --quiet disable --now roster.socket roster.service
fi
