#!/usr/bin/env bats
# ssh:// endpoints: SBX_SSH is a script that runs the remote command here, with another home.
load helper

setup_file() {
	e2e_up
	FAR=$WORK/far
	mkdir "$FAR"
	export FAR SBX_SSH=$WORK/ssh
	cat >"$SBX_SSH" <<-'END'
		#!/bin/sh
		# ssh OPTIONS DESTINATION COMMAND...
		echo "$*" >>"$FAR.log"
		while :; do
			case $1 in
			-o | -p) shift 2 ;;
			-*) shift ;;
			*) break ;;
			esac
		done
		[ "$1" != me@noisy ] || echo 'Welcome!'
		[ "$1" != gone ] || exit 255
		shift
		unset SBX_HOST SBX_CONTEXT
		SBX_HOME=$FAR exec "$@"
	END
	chmod +x "$SBX_SSH"
	sbx --host ssh://me@box create --name there >/dev/null
}
teardown_file() {
	SBX_HOME=$FAR sbx down --yes
	e2e_down
}

carriers() { pgrep -x "sbx-(tls|ssh)" | while read -r pid; do grep -qsF -e "$SBX_HOME" "/proc/$pid/environ" && echo "$pid"; done; }
no_carriers() { [ -z "$(carriers)" ]; }
dials() { pgrep -f 'sbx dial-stdio' | while read -r pid; do grep -qsF -e "$FAR" "/proc/$pid/environ" && echo "$pid"; done; }
no_dials() { [ -z "$(dials)" ]; }

@test "the far daemon was started and is another one" {
	[ -S "$FAR/sbxd.sock" ]
	expect 0 "$(sbx ls -o json | jq '(.sandboxes? // .) | length')"
	expect there "$(sbx --host ssh://me@box ls -o json | jq -r '(.sandboxes? // .)[].name')"
}

@test "ssh gets the user, the port, never asks, and runs one fixed command" {
	: >"$FAR.log"
	sbx --host ssh://me@box:2222 ls >/dev/null
	expect '-T -o BatchMode=yes -p 2222 me@box sbx dial-stdio --hello' "$(cat "$FAR.log")"
	: >"$FAR.log"
	sbx --host 'ssh://[::1]' ls >/dev/null
	expect '-T -o BatchMode=yes ::1 sbx dial-stdio --hello' "$(cat "$FAR.log")"
	fails 2 'no endpoint' --host ssh://-oProxyCommand=id ls
	fails 2 'no endpoint' --host ssh://me@-x ls
}

@test "exec, run, files and a terminal through it" {
	sbx context add far ssh://me@box --use
	run --separate-stderr sbx exec there -- sh -c 'echo out; echo err >&2; exit 7'
	expect_status 7
	expect out "$output"
	expect err "$stderr"
	head -c 20000000 /dev/urandom >"$WORK/big"
	sbx cp "$WORK/big" there:/tmp/
	sbx cp there:/tmp/big - | cmp - "$WORK/big"
	# shellcheck disable=SC2094 # only read
	sbx exec -i there -- cat <"$WORK/big" | cmp - "$WORK/big"
	run timeout 30 script -qec "sbx pty there -- tty" /dev/null </dev/null
	expect_match '/dev/pts/' "$output"
	sbx context rm far
	wait_until 3 no_carriers
	wait_until 3 no_dials
}

@test "Ctrl-C and kill -9 leave nothing here and nothing there" {
	tmux -L "sbx-$$" -f /dev/null new-session -d -s x -x 80 -y 24 "sbx --host ssh://me@box exec there -- sleep 4711; echo code \$? >$WORK/code; sleep 60" 3>&-
	wait_until 15 eval 'SBX_HOME=$FAR sbx exec there -- ps | grep -q "sleep 4711"'
	tmux -L "sbx-$$" send-keys -t x C-c
	wait_until 15 test -s "$WORK/code"
	tmux -L "sbx-$$" kill-server
	expect 'code 130' "$(cat "$WORK/code")"
	wait_until 5 no_dials
	command sbx --host ssh://me@box exec there -- sleep 4712 3>&- 4>&- &
	local pid=$!
	wait_until 15 eval 'SBX_HOME=$FAR sbx exec there -- ps | grep -q "sleep 4712"'
	kill -9 "$pid"
	wait_until 5 no_carriers
	wait_until 5 no_dials
	wait_until 10 eval '! SBX_HOME=$FAR sbx exec there -- ps | grep -q "sleep 4712"'
}

@test "the end of ssh ends the command" {
	sbx --host ssh://me@box exec there -- sleep 4713 2>"$WORK/err" &
	local pid=$! code=0
	wait_until 15 eval 'SBX_HOME=$FAR sbx exec there -- ps | grep -q "sleep 4713"'
	dials | xargs kill
	wait "$pid" || code=$?
	[ "$code" -ne 0 ]
	expect_match 'connection' "$(cat "$WORK/err")"
	wait_until 5 no_carriers
}

@test "an ssh that fails is reported with its code and a hint" {
	fails 1 "ssh to 'gone' ended with code 255" --host ssh://gone:2222 ls
	expect_match 'ssh -p 2222 gone sbx version' "$stderr"
	SBX_SSH=/bin/false fails 1 "ssh to 'box' ended with code 1 before" --host ssh://box ls
	expect_match 'is sbx installed there' "$stderr"
	SBX_SSH=/nosuch/ssh fails 1 "cannot run '/nosuch/ssh': No such file" --host ssh://box ls
	fails 1 'said something else' --host ssh://me@noisy ls
	expect_match 'must not print' "$stderr"
	wait_until 3 no_carriers
}

@test "dial-stdio joins both ends and passes their ends on" {
	local request='GET /sbx/v1/version HTTP/1.1\r\nHost: sbx\r\n\r\n'
	# the input's end: the answer still comes, then the end
	# shellcheck disable=SC2059 # the request is the format
	printf "$request" | SBX_HOME=$FAR timeout 10 sbx dial-stdio | grep -q '^{"version"'
	expect 'sbx dial-stdio 1' "$(SBX_HOME=$FAR timeout 10 sbx dial-stdio --hello </dev/null)"
	# whatever the settings say, it is the local daemon
	SBX_HOST=http://127.0.0.1:1 SBX_HOME=$FAR timeout 10 sbx dial-stdio </dev/null
	# a reader that goes ends it
	SBX_HOME=$FAR timeout 10 sbx dial-stdio < <(sleep 5) | true
	wait_until 3 no_dials
	refuse grep -q dial-stdio <(sbx --help)
}
