#!/usr/bin/env bats
# Generated commands: streams, WebSockets, files in and out, against a small server (answers.py) and the real daemon.
load helper

setup_file() {
	e2e_up
	[ -z "${SBX_BIN:-}" ] || export SLOWER=20
	unset WRENN_API_KEY WRENN_TOKEN WRENN_BASE_URL VR_API_KEY VR_API_URL MOLECULE_API_URL MOLECULE_CP_URL CP_API_URL
	python3 "$TOP/tests/e2e/answers.py" "$WORK" >"$WORK/port" 3>&- 4>&- &
	echo $! >"$WORK/server.pid"
	wait_until 10 test -s "$WORK/port"
	URL=http://127.0.0.1:$(cat "$WORK/port")
	export URL
	head -c 50000000 /dev/urandom >"$WORK/large"
}

teardown_file() {
	kill "$(cat "$WORK/server.pid")"
	e2e_down
}

setup() { rm -f "$WORK/go" "$WORK/seen" "$WORK/out" "$WORK/err"; }

last_seen() { tail -n 1 "$WORK/seen" | jq -r "$1"; }
lines() { wc -l <"$1"; }
at_least() { [ "$(lines "$1")" -ge "$2" ]; } # at_least FILE LINES

# start ARGS...: sbx in the background, out and err to files; its own pid, so that signals reach it. The shell has what it starts in
# the background ignore SIGINT, which env takes back.
start() {
	env --default-signal=INT,QUIT sbx "$@" --base-url "$URL" >"$WORK/out" 2>"$WORK/err" 3>&- 4>&- &
	RUNNING=$!
}

# ended_with STATUS: of what start began
ended_with() {
	local got=0
	wait "$RUNNING" || got=$?
	[ "$got" -eq "$1" ] || fail "ended with $got, not $1: $(cat "$WORK/err")"
}

# peak_of LIMIT_KB ARGS...: run sbx; fails when it took more memory than that (sanitized programs, SBX_BIN, need more)
peak_of() {
	set -- "$(($1 * ${SLOWER:-1}))" "${@:2}"
	python3 - "$@" <<-'END'
		import resource, subprocess, sys
		status = subprocess.run(["sbx", *sys.argv[2:]]).returncode
		peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
		if peak > int(sys.argv[1]):
		    sys.exit(f"took {peak} kB")
		sys.exit(status)
	END
}

@test "lines of NDJSON are printed as they come" {
	start voidrun session exec-stream ndjson --session-id s --command c
	wait_until 5 at_least "$WORK/out" 1
	expect '{"n": 1}' "$(cat "$WORK/out")"
	touch "$WORK/go"
	ended_with 0
	expect '{"n": 1}|{"n": 2, "text": "ä"}|not json|{"n": 3}' "$(paste -sd '|' "$WORK/out")"
	sbx voidrun session exec-stream ndjson --session-id s --command c --base-url "$URL" -o yaml >"$WORK/out"
	expect '--- n: 1 --- n: 2 text: ä not json --- n: 3' "$(xargs <"$WORK/out")"
}

@test "events are printed as they come: standard output, standard error, others by name" {
	start voidrun process attach sse --pid 3
	wait_until 5 at_least "$WORK/out" 1
	expect one "$(cat "$WORK/out")"
	touch "$WORK/go"
	ended_with 0
	expect 'one|three|lines|exit: {"exitCode": 0}' "$(paste -sd '|' "$WORK/out")"
	expect two "$(cat "$WORK/err")"
	sbx voidrun process attach sse --pid 3 --base-url "$URL" -o json >"$WORK/out"
	expect 'stdout/one stderr/two message/three lines exit/{"exitCode": 0}' "$(jq -rs 'map(.event + "/" + .data) | join(" ")' "$WORK/out" | xargs -d '\n')"
}

@test "Ctrl-C ends a stream with 130, SIGTERM with 143; what came is there" {
	start voidrun session exec-stream endless --session-id s --command c
	wait_until 5 at_least "$WORK/out" 1
	kill -INT "$RUNNING"
	ended_with 130
	expect '{"n": 1}' "$(cat "$WORK/out")"
	start voidrun session exec-stream endless --session-id s --command c
	wait_until 5 at_least "$WORK/out" 1
	kill -TERM "$RUNNING"
	ended_with 143
	start wrenn capsule pty socket
	wait_until 5 at_least "$WORK/out" 1
	kill -INT "$RUNNING"
	ended_with 130
}

@test "a reader that has seen enough ends a stream quietly" {
	touch "$WORK/go"
	run --separate-stderr bash -c 'sbx voidrun session exec-stream ndjson --session-id s --command c --base-url "$URL" | head -n 1'
	expect '{"n": 1}' "$output"
	expect '' "$stderr"
}

@test "a WebSocket: --send, lines of standard input with -i, JSON in the format that was asked for" {
	start wrenn capsule pty socket --send one --send two --send bye
	ended_with 0
	expect '{"hello": true}|echo one|echo two' "$(paste -sd '|' "$WORK/out")"
	printf 'a\nb c\nbye\n' | sbx wrenn capsule pty socket -i --base-url "$URL" >"$WORK/out"
	expect '{"hello": true}|echo a|echo b c' "$(paste -sd '|' "$WORK/out")"
	printf 'a\nbye' | sbx wrenn capsule pty socket --send first -i -o yaml --base-url "$URL" >"$WORK/out"
	expect '--- hello: true echo first echo a' "$(xargs <"$WORK/out")"
	sbx wrenn capsule exec-stream socket --send bytes --send bye --base-url "$URL" | tail -c 4 | od -An -tx1 >"$WORK/out"
	expect '00 01 ff 0a' "$(xargs <"$WORK/out")"
}

@test "a WebSocket's first message is printed before the next is typed" {
	mkfifo "$WORK/typed"
	command sbx wrenn capsule pty socket -i --base-url "$URL" <"$WORK/typed" >"$WORK/out" 2>"$WORK/err" 3>&- 4>&- &
	RUNNING=$!
	exec 8>"$WORK/typed"
	wait_until 5 at_least "$WORK/out" 1
	echo hi >&8
	wait_until 5 at_least "$WORK/out" 2
	echo bye >&8
	ended_with 0
	exec 8>&-
	expect '{"hello": true}|echo hi' "$(paste -sd '|' "$WORK/out")"
}

@test "a WebSocket that the server closes with a fault is one" {
	run --separate-stderr sbx wrenn capsule pty socket --send fail --base-url "$URL"
	expect_status 1
	expect_match '1011: out of order' "$stderr"
	run --separate-stderr sbx wrenn capsule pty early --base-url "$URL"
	expect_status 1
	expect_match 'no room for that' "$stderr"
}

@test "50 MB are uploaded whole in little memory: as a form, as they are, from standard input" {
	local sum
	sum=$(sha256sum "$WORK/large" | cut -d' ' -f1)
	peak_of 40000 wrenn file write sink --base-url "$URL" --path /tmp/x --file "@$WORK/large"
	[ "$(last_seen .size)" -gt 50000000 ]
	expect "$(last_seen .size)" "$(last_seen '.headers["Content-Length"]')"
	peak_of 40000 voidrun file upload sink --base-url "$URL" --path /tmp/x --file "@$WORK/large"
	expect "50000000 $sum 50000000" "$(last_seen '"\(.size) \(.sha256) \(.headers["Content-Length"])"')"
	sbx voidrun file upload sink --base-url "$URL" --path /tmp/x --file - <"$WORK/large"
	expect "50000000 $sum 50000000" "$(last_seen '"\(.size) \(.sha256) \(.headers["Content-Length"])"')"
	head -c 50000000 "$WORK/large" | sbx voidrun file upload sink --base-url "$URL" --path /tmp/x --file - # of unknown length
	expect "50000000 $sum chunked" "$(last_seen '"\(.size) \(.sha256) \(.headers["Transfer-Encoding"])"')"
	echo small | sbx wrenn file write sink --base-url "$URL" --path /tmp/x --file -
	expect chunked "$(last_seen '.headers["Transfer-Encoding"]')"
}

@test "a refusal during an upload is told at once" {
	run --separate-stderr within 5000 sbx voidrun file upload early --base-url "$URL" --path /tmp/x --file "@$WORK/large"
	expect_status 1
	expect_match 'no room for that' "$stderr"
}

@test "--output-file: whole or not at all" {
	sbx wrenn file read binary --path x --base-url "$URL" --output-file "$WORK/got"
	expect 102400 "$(stat -c %s "$WORK/got")"
	run --separate-stderr sbx wrenn file read broken --path x --base-url "$URL" --output-file "$WORK/half"
	expect_status 1
	expect '' "$(find "$WORK" -name 'half*')"
	run --separate-stderr sbx wrenn file read broken --path x --base-url "$URL" --output-file "$WORK/got"
	expect_status 1
	expect 102400 "$(stat -c %s "$WORK/got")"
	expect "$WORK/got" "$(find "$WORK" -name 'got*')"
	run --separate-stderr sbx wrenn file read early --path x --base-url "$URL" --output-file "$WORK/none"
	expect_status 1
	expect_match 'no room for that' "$stderr"
	[ ! -e "$WORK/none" ]
	run --separate-stderr sbx wrenn file read binary --path x --base-url "$URL" --output-file "$WORK/no/such/folder"
	expect_status 1
	expect_match 'no/such/folder' "$stderr"
	expect 102400 "$(sbx wrenn file read binary --path x --base-url "$URL" --output-file - | wc -c)"
	sbx wrenn file read binary --path x --base-url "$URL" --output-file /dev/null
	[ -c /dev/null ]
}

@test "--output-file of a stream that is interrupted leaves nothing" {
	start voidrun session exec-stream endless --session-id s --command c --output-file "$WORK/stopped"
	wait_until 5 test -s "$WORK/seen"
	wait_until 5 bash -c 'ls "$WORK"/stopped.part-* >/dev/null 2>&1'
	kill -INT "$RUNNING"
	ended_with 130
	expect '' "$(find "$WORK" -name 'stopped*')"
}

@test "bytes are for a pipe and not for a terminal" {
	expect 102400 "$(sbx wrenn file read binary --path x --base-url "$URL" | wc -c)"
	run script -qec "sbx wrenn file read binary --path x --base-url $URL" /dev/null
	expect_status 1
	expect_match 'not for a terminal' "$output"
	expect_match 'output-file' "$output"
	[ "${#output}" -lt 400 ]
}

@test "a server that cannot be reached is an error in words" {
	run --separate-stderr sbx wrenn capsule list --base-url "http://127.0.0.1:$(free_port)"
	expect_status 1
	expect_match 'refused' "$stderr"
	run --separate-stderr sbx wrenn capsule list --base-url nonsense
	expect_status 2
}

@test "sbx api: one request as it is" {
	sbx api GET /sbx/v1/version | jq -e .version
	sbx api get /sbx/v1/sandboxes -o yaml | grep -q sandboxes
	echo '{"name": "of-api"}' | sbx api POST /sbx/v1/keys --input - | jq -e .key
	sbx api GET /sbx/v1/keys | grep -q of-api
	run --separate-stderr sbx api GET /sbx/v1/sandboxes/none
	expect_status 1
	expect_match "none" "$stderr"
	expect '' "$output"
	run --separate-stderr sbx api POST /sbx/v1/keys --input /no/such/file
	expect_status 2
	expect_match '/no/such/file' "$stderr"
	local bad
	for bad in sbx/v1/version '' '/a b' $'/a\nb'; do
		run --separate-stderr sbx api GET "$bad"
		expect_status 2
	done
	run --separate-stderr sbx api 'G T' /sbx/v1/version
	expect_status 2
}

@test "an operation that our daemon does not have is said in words" {
	run --separate-stderr sbx molecule workspace list -o yaml
	expect_status 1
	expect '' "$output"
	expect_match 'not implemented|does not|not.* supported|no handler' "$stderr"
	expect_match '^sbx molecule workspace list: ' "$stderr"
}

@test "generated commands start as fast as others" {
	sbx wrenn capsule list --help >/dev/null
	within "$((2000 * ${SLOWER:-1}))" bash -c 'for i in {1..50}; do sbx freestyle vm create --help >/dev/null; done'
}
