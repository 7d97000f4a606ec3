#!/usr/bin/env bats
# sbx exec and sbx run.
load helper

setup_file() {
	e2e_up
	sbx create --name demo >/dev/null
}
teardown_file() { e2e_down; }

# No process of the demo matches the words.
gone_in_guest() { [ -z "$(sbx exec demo -- sh -c "ps | grep '$1' | grep -v grep")" ]; }
there_in_guest() { [ -n "$(sbx exec demo -- sh -c "ps | grep '$1' | grep -v grep")" ]; }

@test "both outputs are separate and the code comes back" {
	run --separate-stderr sbx exec demo -- sh -c 'echo out; echo err >&2; exit 3'
	expect_status 3
	expect out "$output"
	expect err "$stderr"
}

@test "exit codes 0 to 255, signals as 128 + n" {
	local c
	for c in 0 1 2 42 125 255; do
		run sbx exec demo -- sh -c "exit $c"
		expect_status "$c"
	done
	run sbx exec demo -- sh -c 'kill -9 $$'
	expect_status 137
	run sbx exec demo -- sh -c 'kill -TERM $$'
	expect_status 143
	run sbx exec demo -- sh -c 'kill -SEGV $$'
	expect_status 139
}

@test "an unknown program is 127, one that cannot be executed 126" {
	run --separate-stderr sbx exec demo -- nosuchprogram
	expect_status 127
	expect_match 'nosuchprogram' "$stderr"
	run --separate-stderr sbx exec demo -- /etc
	expect_status 126
	run --separate-stderr sbx exec demo -- /no/such/path
	expect_status 127
}

@test "arguments arrive as they are: no shell, spaces, quotes, newlines, empty ones, options" {
	run sbx exec demo -- printf '[%s]' 'a b' '' '$HOME' "it's" '"' '*' $'x\ny' -- --help -o json
	expect_status 0
	expect "[a b][][\$HOME][it's][\"][*]["$'x\ny'"][--][--help][-o][json]" "$output"
}

@test "stdin passes binary data whole, and its end" {
	head -c 3000000 /dev/urandom >"$WORK/in"
	sbx exec -i demo -- cat <"$WORK/in" >"$WORK/out"
	cmp "$WORK/in" "$WORK/out"
	expect "$(sha256sum <"$WORK/in")" "$(sbx exec -i demo -- sha256sum <"$WORK/in")"
	expect 0 "$(sbx exec -i demo -- wc -c </dev/null)"
	head -c 256 /dev/zero | sbx exec -i demo -- wc -c | grep -qx 256
}

@test "without -i stdin is empty and the caller's is untouched" {
	expect 0 "$(echo data | sbx exec demo -- wc -c)"
	printf 'one\ntwo\n' >"$WORK/list"
	while read -r _; do
		sbx exec demo -- cat
		echo line
	done <"$WORK/list" >"$WORK/lines"
	expect 2 "$(grep -c line "$WORK/lines")"
}

@test "a tree through tar over stdin" {
	tar c -C "$TOP" shared/base | sbx exec -i demo -- tar x -C /tmp
	expect "$(sha256sum <"$TOP/shared/base/err.h")" "$(sbx exec demo -- sha256sum /tmp/shared/base/err.h | sed 's/ .*/  -/')"
	sbx exec demo -- tar c -C /tmp shared | tar t | grep -q base/err.h
}

@test "large output arrives whole on both streams at once" {
	sbx exec demo -- sh -c 'head -c 4000000 /dev/zero >&2 & head -c 4000000 /dev/zero; wait' >"$WORK/o" 2>"$WORK/e"
	expect 4000000 "$(stat -c %s "$WORK/o")"
	expect 4000000 "$(stat -c %s "$WORK/e")"
}

@test "output comes while the command runs" {
	mkfifo "$WORK/live"
	sbx exec -i demo -- sh -c 'echo first; read x; echo "$x"' <"$WORK/live" >"$WORK/live.out" &
	local pid=$!
	exec 7>"$WORK/live"
	wait_until 5 grep -qx first "$WORK/live.out"
	echo second >&7
	exec 7>&-
	wait "$pid"
	expect $'first\nsecond' "$(cat "$WORK/live.out")"
}

@test "a reader that goes away ends the command" {
	timeout 20 bash -c 'command sbx exec demo -- sh -c "while echo y; do :; done" 3>&- | head -n 2' >"$WORK/two"
	expect $'y\ny' "$(cat "$WORK/two")"
	wait_until 5 gone_in_guest 'while echo y'
}

@test "-e, -w, -u" {
	expect 'x=1 y=a b' "$(sbx exec -e X=1 -e 'Y=a b' demo -- sh -c 'echo x=$X y=$Y')"
	expect /tmp "$(sbx exec -w /tmp demo -- pwd)"
	expect 0 "$(sbx exec demo -- id -u)"
	expect 65534 "$(sbx exec -u nobody demo -- id -u)"
	expect 65534 "$(sbx exec -u 65534 demo -- id -u)"
	run sbx exec -w /no/such/dir demo -- pwd
	[ "$status" -ne 0 ]
	expect_match 'no/such/dir' "$output"
	run sbx exec -u nosuchuser demo -- id
	[ "$status" -ne 0 ]
	expect_match 'nosuchuser' "$output"
	refuse sbx exec -u nobody demo -- touch /root/x
}

@test "--timeout gives 124 and ends the whole process group" {
	local start=${EPOCHREALTIME/./} took
	run --separate-stderr sbx exec --timeout 1 demo -- sh -c 'sleep 611 & sleep 612; echo not reached'
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	expect_status 124
	expect '' "$output"
	[ "$took" -ge 900 ] && [ "$took" -lt 4000 ] || fail "took $took ms"
	wait_until 3 gone_in_guest 'sleep 61[12]'
}

@test "--timeout works on a command that ignores TERM" {
	run timeout 20 sbx exec --timeout 1 demo -- sh -c 'trap "" TERM INT HUP; while :; do sleep 1; done'
	expect_status 124
}

@test "Ctrl-C is forwarded: the command in the guest gets SIGINT" {
	# Jobs of a shell script start with SIGINT ignored.
	env --default-signal=INT,QUIT sbx exec demo -- sh -c 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done' >"$WORK/int" 2>&1 3>&- &
	local pid=$! status=0
	wait_until 5 grep -q ready "$WORK/int"
	kill -INT "$pid"
	wait "$pid" || status=$?
	expect 9 "$status"
	grep -q caught "$WORK/int" || fail "not caught: $(cat "$WORK/int")"
}

@test "Ctrl-C on a plain command: 130, and nothing of it is left in the guest" {
	run timeout -s INT 1 sbx exec demo -- sleep 613
	[ "$status" -eq 124 ] || expect_status 130
	wait_until 5 gone_in_guest 'sleep 613'
}

@test "SIGTERM of the client is forwarded, too" {
	command sbx exec demo -- sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done' >"$WORK/term" 3>&- &
	local pid=$! status=0
	wait_until 5 grep -q ready "$WORK/term"
	kill -TERM "$pid"
	wait "$pid" || status=$?
	expect 7 "$status"
}

@test "a client that is killed leaves nothing running in the guest" {
	command sbx exec demo -- sleep 614 3>&- &
	local pid=$!
	wait_until 5 there_in_guest 'sleep 614'
	kill -9 "$pid"
	wait_until 5 gone_in_guest 'sleep 614'
}

@test "a process left in the background keeps neither the exec nor its group back for ever" {
	within 5000 sbx exec demo -- sh -c 'sleep 615 >/dev/null 2>&1 </dev/null & echo started' >"$WORK/bg"
	expect started "$(cat "$WORK/bg")"
}

@test "-t gives a terminal, and both outputs are one" {
	run --separate-stderr sbx exec -t demo -- sh -c 'test -t 1 && echo tty; echo err >&2; exit 4'
	expect_status 4
	expect_match 'tty' "$output"
	expect_match 'err' "$output"
	run sbx exec demo -- test -t 1
	expect_status 1
}

@test "thirty commands at once in one sandbox" {
	local i
	for i in $(seq 30); do
		sbx exec demo -- sh -c "echo $i; exit $i" >"$WORK/many$i" 2>&1 &
		eval "p$i=$!"
	done
	for i in $(seq 30); do
		local status=0 pid
		eval "pid=\$p$i"
		wait "$pid" || status=$?
		expect "$i" "$status"
		expect "$i" "$(cat "$WORK/many$i")"
	done
}

@test "a flooding command does not hold up another" {
	command sbx exec demo -- cat /dev/zero >/dev/null 3>&- &
	local flood=$! i
	wait_until 5 there_in_guest 'cat /dev/zero'
	for i in 1 2 3; do within 2000 sbx exec demo -- true; done
	kill "$flood"
	wait_until 5 gone_in_guest 'cat /dev/zero'
}

@test "a reader that stalls holds up only its own command" {
	mkfifo "$WORK/stall"
	command sbx exec demo -- cat /dev/zero >"$WORK/stall" 3>&- &
	local writer=$!
	exec 7<"$WORK/stall"
	wait_until 5 there_in_guest 'cat /dev/zero'
	within 2000 sbx exec demo -- true
	local rss
	rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(daemon_pid)/status")
	[ "$rss" -lt 200000 ] || fail "the daemon holds $rss kB"
	kill "$writer"
	exec 7<&-
}

@test "zombies are reaped by the agent" {
	sbx exec demo -- sh -c 'for i in 1 2 3 4 5; do (sleep 0.1 &) ; done'
	sleep 0.5
	expect 0 "$(sbx exec demo -- sh -c "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")"
}

@test "run: output, code, and nothing is left" {
	run --separate-stderr sbx run -- sh -c 'echo out; echo err >&2; exit 6'
	expect_status 6
	expect out "$output"
	expect err "$stderr"
	expect demo "$(names)"
	expect_consistent
}

@test "run takes the flags of create, and stdin" {
	expect "in v" "$(echo in | sbx run -i --vcpus 2 --memory 512 --env V=v --name once -- sh -c 'read a; echo $a $V')"
	expect demo "$(names)"
}

@test "run removes its sandbox when interrupted, terminated, or when the command is unknown" {
	local sig pid
	for sig in INT TERM HUP; do
		env --default-signal=INT,QUIT sbx run --name stopme -- sh -c 'echo ready; sleep 616' >"$WORK/run" 2>&1 3>&- &
		pid=$!
		wait_until 10 grep -q ready "$WORK/run"
		kill -"$sig" "$pid"
		wait_until 5 test ! -d "/proc/$pid" || wait "$pid" || true
		wait_until 5 refuse sbx inspect stopme
	done
	run sbx run -- nosuchprogram
	expect_status 127
	expect demo "$(names)"
	expect_consistent
}

@test "run that is interrupted while it creates leaves nothing" {
	local ms
	for ms in 0.01 0.05 0.1 0.2 0.3; do
		timeout -s INT "$ms" sbx run --name early -- true || true
		wait_until 5 refuse sbx inspect early
	done
	expect_consistent
	expect demo "$(names)"
}
