# What every end to end test file starts from: a private SBX_HOME with a daemon of its own, the shared SBX_CACHE, the built
# programs first in PATH, and a teardown that proves that nothing of ours is left.
# shellcheck shell=bash
# shellcheck disable=SC2154 # output, stderr and status are set by bats' run

bats_require_minimum_version 1.5.0

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
export TOP

# ---- the file's own home ----

# For tests that need no VM.
e2e_up_plain() {
	# SBX_BIN: the programs of another tree, such as a sanitized one.
	export PATH="${SBX_BIN:-$TOP/build/bin}:$PATH" NO_COLOR=1
	# Short, since Unix socket paths end at 107 bytes.
	export SBX_HOME=${E2E_HOME:-$(mktemp -d /tmp/sbx-e.XXXXXX)}
	WORK=$(mktemp -d /tmp/sbx-w.XXXXXX)
	# No settings of the person who runs the tests.
	export WORK SBX_CONFIG=$WORK/config.yaml
	# No VMs in advance, but in the tests of that.
	export SBX_POOL=0
	unset "${!SBX_GITHUB_@}" SBX_PUBLIC_URL SBX_OAUTH_REDIRECT_URL
	unset SBX_LOG SBX_HOST SBX_API_KEY SBX_CONTEXT SBX_OUTPUT SBX_SSH https_proxy HTTPS_PROXY no_proxy NO_PROXY
}

e2e_up() {
	e2e_up_plain
	timeout 300 sbx image build base >/dev/null 2>&1 3>&-
}

e2e_down() {
	local status=0 nets
	nets=$(net_pids)
	timeout 60 sbx down --yes >/dev/null 2>&1 3>&- || status=$?
	if [ "$status" -ne 0 ]; then
		echo "sbx down --yes ended with $status" >&2
	fi
	if ! wait_until 10 nothing_runs; then
		echo "left running:" >&2
		our_processes | while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-200; echo; done >&2
		our_processes | xargs -r kill -9
		status=1
	fi
	# shellcheck disable=SC2086 # a list of pids
	if ! wait_until 5 ended $nets; then
		echo "sbx-net left running: $nets" >&2
		status=1
	fi
	if [ -n "$(ls -A "$SBX_HOME/vms" 2>/dev/null)" ]; then
		echo "left in vms/: $(ls "$SBX_HOME/vms")" >&2
		status=1
	fi
	rm -rf "$SBX_HOME" "$WORK"
	return "$status"
}

# Pids of our programs that belong to this home or to one in $WORK. It stands in their command line or, for sbx and sbxd, environment.
our_processes() {
	local pid
	grep -lzsF -e "$SBX_HOME" -e "$WORK" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d/ -f3 | sort -un | while read -r pid; do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		sbx* | qemu-system*) echo "$pid" ;;
		esac
	done
}

nothing_runs() { [ -z "$(our_processes)" ]; }

vmm_pids() {
	local pid
	for pid in $(our_processes); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		qemu-system*) echo "$pid" ;;
		esac
	done
}

# sbx-net knows no home, but it is the child of its VMM.
net_pids() {
	local pid
	for pid in $(vmm_pids); do pgrep -P "$pid" -x sbx-net || true; done
}

# ended PID...: none of them runs; one that its parent has not asked about yet does not count.
ended() {
	local pid
	for pid in "$@"; do
		refuse grep -qE '^State:.[^ZX]' "/proc/$pid/status" 2>/dev/null || return 1
	done
}

# ---- sbx ----

# bats keeps descriptor 3 for itself and waits for everybody who holds it, the daemon too.
sbx() { command sbx "$@" 3>&- 4>&-; }

api() { # api PATH [CURL ARGS...]: the native API on the Unix socket
	local path=$1
	shift
	curl -sS --max-time 20 --unix-socket "$SBX_HOME/sbxd.sock" "$@" "http://sbx/sbx/v1$path" 3>&-
}

daemon_pid() { api /system | jq -r .pid; }
field() { sbx inspect "$1" -o json | jq -r "(if type == \"array\" then .[0] else . end).$2"; }
vm_pid() { field "$1" pid; }
names() { sbx ls -o json | jq -r '(.sandboxes? // .)[] | .name // .id' | sort; }
ids() { sbx ls -o json | jq -r '(.sandboxes? // .)[].id' | sort; }

# ---- asserting ----

# wait_until SECONDS CMD ARGS...: poll until the command succeeds.
wait_until() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		[ "${EPOCHREALTIME/./}" -lt "$end" ] || return 1
		sleep 0.03
	done
}

# within MS CMD ARGS...: the command's own status, or failure with a word when it took longer.
within() {
	local limit=$1 start=${EPOCHREALTIME/./} status=0 took
	shift
	"$@" || status=$?
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	if [ "$took" -gt "$limit" ]; then
		echo "took $took ms, more than $limit: $*" >&2
		return 99
	fi
	return "$status"
}

fail() {
	echo "$*" >&2
	return 1
}

# expect WANT GOT [WORDS]
expect() {
	[ "$1" = "$2" ] || fail "${3:-value}: expected '$1', got '$2'"
}

# After `run`: expect_status N
expect_status() {
	[ "$status" -eq "$1" ] || fail "expected status $1, got $status; stdout: ${output:-}; stderr: ${stderr:-}"
}

# fails STATUS REGEX ARGS...: what sbx says on stderr, its hint behind it; nothing on stdout
fails() {
	local want=$1 words=$2
	shift 2
	run --separate-stderr sbx "$@"
	expect_status "$want"
	expect_match "$words" "$(xargs -d '\n' <<<"$stderr")"
	expect '' "$output"
}

expect_match() { # expect_match REGEX TEXT
	[[ $2 =~ $1 ]] || fail "expected a match of '$1' in: $2"
}

# What the daemon lists, what has a folder and what runs are the same sandboxes.
consistent() {
	local rows folders pids running
	rows=$(ids) || return 1
	folders=$(find "$SBX_HOME/vms" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort)
	pids=$(vmm_pids | sort)
	running=$(sbx ls -o json | jq -r '(.sandboxes? // .)[] | select(.state == "running") | .pid' | sort)
	[ "$rows" = "$folders" ] && [ "$pids" = "$running" ]
}

expect_consistent() {
	wait_until 8 consistent || fail "rows: $(ids | xargs); folders: $(echo "$SBX_HOME"/vms/*); pids: $(vmm_pids | xargs); $(sbx ls)"
}

# front NAME ARGS...: start one of front.py's; its port. What it says goes to $WORK/front.NAME. fronts_end ends them.
front() {
	timeout 390 python3 "$TOP/tests/e2e/front.py" "${@:2}" >"$WORK/front.$1" 2>/dev/null </dev/null 3>&- 4>&- &
	echo $! >"$WORK/pid.$1"
	wait_until 10 test -s "$WORK/front.$1"
	head -n 1 "$WORK/front.$1"
}
fronts_end() { cat "$WORK"/pid.* | xargs kill; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# refuse CMD ARGS...: succeeds when the command fails (a plain `!` does not fail a bats test).
refuse() {
	local said=$BATS_FILE_TMPDIR/refused # not $(...): what is waited for must stay a child of this shell
	if "$@" >"$said" 2>&1; then
		fail "should have failed: $*; it said: $(head -n 20 "$said")"
	fi
}
