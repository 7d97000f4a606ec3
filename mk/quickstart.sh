#!/usr/bin/env bash
# make quickstart: from a built tree to a command that ran in a microVM. Uses the caller's normal SBX_HOME and SBX_CACHE.
set -euo pipefail

bin=$1
sbx=$bin/sbx
id=
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\033[1m' plain=$'\033[0m'
fi

clean_up() {
	[ -z "$id" ] || "$sbx" rm -f "$id" >/dev/null 2>&1 || true
}
trap clean_up EXIT

show() { # show TEXT ARGS...: what comes next, and the command for it
	local text=$1
	shift
	printf '\n%s%s%s\n  $ sbx %s\n' "$bold" "$text" "$plain" "$*"
}

now() { echo "${EPOCHREALTIME/./}"; }
took() { printf '  (%d ms)\n' $((($(now) - $1) / 1000)); }

show 'Build the image, once (kernel, root filesystem, memory template)' image build base
start=$(now)
"$sbx" image build base
took "$start"

show 'Create a microVM' create
start=$(now)
id=$("$sbx" create)
printf '  %s\n' "$id"
took "$start"

# shellcheck disable=SC2016 # for the guest's shell
hello='echo "hello from $(hostname): Linux $(uname -r), up as process $$, $(grep -c ^processor /proc/cpuinfo) cpu"'
show 'Run a command in it' exec "$id" -- sh -c "'$hello'"
start=$(now)
"$sbx" exec "$id" -- sh -c "$hello" | sed 's/^/  /'
took "$start"

show 'Remove it' rm "$id"
start=$(now)
"$sbx" rm "$id" >/dev/null
took "$start"
id=

cat <<END

${bold}It works. To go on:${plain}
  export PATH=$bin:\$PATH
  sbx create --name demo                  # a microVM that stays
  sbx exec demo -- uname -a               # run a command in it
  sbx pty demo                            # a terminal in it; ~. after a newline leaves it running
  sbx cp README.md demo:/tmp/             # files in, and out again
  sbx run -- sh -c 'echo once; exit 3'    # create, run, remove
  sbx ls; sbx rm demo; sbx down           # look, remove, end the daemon
  sbx --help                              # all commands; each has --help with an example
END
