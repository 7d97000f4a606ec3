#!/usr/bin/env bats
# The command line itself: usage, help, output formats, the commands that need no VM.
load helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

COMMANDS="create run exec pty ls inspect cp rm logs stats watch up down doctor completion version"
GROUPED="key:create key:ls key:rm image:ls image:build context:ls"

# usage ARGS...: wrong usage ends with 2, words on stderr, nothing on stdout.
usage() {
	run --separate-stderr sbx "$@"
	expect_status 2
	expect '' "$output" "stdout of sbx $*"
	[ -n "$stderr" ] || fail "sbx $*: no words on stderr"
}

@test "wrong usage ends with 2 and says so on stderr only" {
	usage exec
	usage exec demo
	usage exec demo --
	usage nosuchcommand
	usage create --nosuchflag
	usage create --memory
	usage create --memory lots
	usage create --memory -1
	usage create extra argument
	usage create --env NOVALUE=1 --env =x
	usage ls -o xml
	usage rm
	usage cp
	usage cp onlyone
	usage cp /etc/hosts /tmp/x
	usage inspect
	usage logs
	usage pty
	usage key nosuch
	usage image nosuch
	usage run
	usage exec --timeout abc demo -- true
}

@test "a group without a verb shows its help on stdout" {
	for group in key image wrenn 'wrenn capsule' mcp-v8; do
		# shellcheck disable=SC2086 # two words
		run --separate-stderr sbx $group
		expect_status 0
		[[ $output == *Usage:* ]] || fail "no help for $group"
		expect '' "$stderr"
	done
}

@test "errors begin with the command and say what to do" {
	run --separate-stderr sbx exec nosuch -- true
	expect_status 1
	expect '' "$output"
	expect_match '^sbx exec: .*nosuch' "$stderr"
	run --separate-stderr sbx inspect nosuch
	expect_status 1
	run --separate-stderr sbx rm nosuch
	expect_status 1
	run --separate-stderr sbx create --image nosuch
	expect_status 1
	expect_match 'nosuch' "$stderr"
}

@test "a mistyped command is answered with a suggestion" {
	run --separate-stderr sbx crate
	expect_status 2
	expect_match 'create' "$stderr"
}

@test "help goes to stdout, ends with 0 and has an example for each command" {
	run --separate-stderr sbx --help
	expect_status 0
	for c in $COMMANDS; do
		expect_match "$c" "$output"
	done
	for c in $COMMANDS $GROUPED; do
		# shellcheck disable=SC2086 # a command of two words
		run --separate-stderr sbx ${c/:/ } --help
		expect_status 0
		expect_match "[Ee]xample" "$output"
		expect_match "sbx ${c/:/ }" "$output"
		expect '' "$stderr"
	done
	for c in $GROUPED; do
		expect_match "${c#*:}" "$(sbx "${c%:*}" --help)"
	done
}

@test "sbx alone shows the help and ends with 2" {
	run sbx
	[ "$status" -eq 2 ] || [ "$status" -eq 0 ]
	expect_match 'create' "$output"
}

@test "version works in all formats and without a daemon" {
	run --separate-stderr env SBX_HOME=/nonexistent/x sbx version
	expect_status 0
	expect_match '[0-9a-f]' "$output"
	sbx version -o json | jq -e . >/dev/null
}

@test "ls of nothing: an empty table, valid JSON, valid YAML" {
	run --separate-stderr sbx ls
	expect_status 0
	sbx ls -o json | jq -e '(.sandboxes? // .) | length == 0' >/dev/null
	sbx ls -o yaml >"$WORK/ls.yaml"
	python3 -c 'import yaml' 2>/dev/null || skip "python3 has no yaml module"
	python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' "$WORK/ls.yaml"
}

@test "image ls shows base as built; context ls shows the local one" {
	expect_match 'base' "$(sbx image ls)"
	sbx image ls -o json | jq -e '(.images? // .) | map(select(.name == "base")) | .[0].state == "built"' >/dev/null
	[ -n "$(sbx context ls)" ]
	sbx context ls -o json | jq -e . >/dev/null
}

@test "image build is done at once the second time, and knows no other name" {
	within 3000 sbx image build base
	run --separate-stderr sbx image build nosuch
	expect_status 1
	expect_match 'nosuch' "$stderr"
}

@test "the cache has no trace of the home, and the home holds everything else" {
	local id
	id=$(sbx create)
	sbx rm "$id"
	[ -S "$SBX_HOME/sbxd.sock" ]
	[ -f "$SBX_HOME/db.sqlite" ]
	expect 600 "$(stat -c %a "$SBX_HOME/sbxd.sock")" "mode of the socket"
	expect 700 "$(stat -c %a "$SBX_HOME")" "mode of the home"
}

@test "doctor passes on a machine that works, and reports a real round trip" {
	run --separate-stderr timeout 60 sbx doctor
	expect_status 0
	expect_match 'acceleration|tcg|kvm' "$output$stderr"
	nothing=$(ids)
	expect '' "$nothing" "sandboxes after doctor"
}

@test "doctor says what is wrong and how to mend it" {
	run --separate-stderr timeout 60 env SBX_HOME="$WORK/h" SBX_CACHE=/proc/nosuch "$TOP/build/bin/sbx" doctor
	SBX_HOME=$WORK/h timeout 30 sbx down --yes 2>/dev/null || true
	expect_status 1
	expect_match '/proc/nosuch' "$output"
	expect_match 'FAIL|fail|wrong' "$output"
}

@test "no colour in a pipe" {
	run bash -c 'unset NO_COLOR; sbx --help; sbx ls; sbx exec nosuch -- true'
	refuse grep -q $'\033' <<<"$output"
}

@test "two homes share the cache: the second needs no build" {
	local home
	home=$(mktemp -d /tmp/sbx-e.XXXXXX)
	SBX_HOME=$home within 8000 sbx create --name other >/dev/null
	SBX_HOME=$home sbx exec other -- true
	refuse sbx inspect other
	SBX_HOME=$home sbx down --yes
	rm -rf "$home"
}

@test "a home whose path is too long for sockets works, or is refused in words" {
	local long
	long=$WORK/$(printf 'x%.0s' {1..120})
	run --separate-stderr env SBX_HOME="$long" timeout 20 sbx run -- echo works
	SBX_HOME=$long timeout 20 sbx down --yes 2>/dev/null || true
	if [ "$status" -eq 0 ]; then
		expect works "$output"
	else
		expect_status 1
		expect_match 'long' "$stderr"
	fi
}
