#!/bin/sh
# Install the Debian packages named as arguments that are not there yet. One dpkg-query when all are: fast enough to run always.
set -eu

missing=$(
	{
		printf '%s\n' "$@"
		dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p'
	} | sort | uniq -u
)
[ -n "$missing" ] || exit 0
# shellcheck disable=SC2086 # package names, one word each
set -- $missing

sudo=
if [ "$(id -u)" -ne 0 ]; then
	# Without a terminal nobody can type a password.
	sudo="sudo"
	[ -t 0 ] || sudo="sudo -n"
	if ! command -v sudo >/dev/null; then
		printf 'deps: these packages are missing and need root (there is no sudo): %s\n' "$*" >&2
		printf 'deps: as root: apt-get install %s\n' "$*" >&2
		exit 1
	fi
fi

apt() {
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -qq "$@" </dev/null
}

printf 'deps: installing %s\n' "$*"
# A fresh or old machine has no or stale package lists: fetch them only then.
if ! apt install -y --no-install-recommends "$@" >/dev/null 2>&1; then
	printf 'deps: refreshing the package lists\n'
	apt update
	apt install -y --no-install-recommends "$@" >/dev/null
fi
printf 'deps: done\n'
