#!/usr/bin/env bats
# Wrenn's streams and terminals over WebSockets, driven by Debian's node-ws (wrenn_ws.js).
load helper

setup_file() {
	e2e_up
	export NODE_PATH=/usr/share/nodejs BASE TOKEN CAPSULE
	BASE=http://127.0.0.1:$(free_port)
	sbx up --listen "${BASE#http://}"
	TOKEN=$(curl -sSf "$BASE/v1/auth/signup" -d '{"email": "ws@example.com", "password": "a long password", "name": "Ws"}' | jq -r .token)
	CAPSULE=$(curl -sSf -m 60 "$BASE/v1/capsules" -H "Authorization: Bearer $TOKEN" -d '{}' | jq -r .id)
	# Half a minute of waiting, spent beside the others.
	client pty_ping >"$WORK/ping" 2>&1 &
}
teardown_file() { e2e_down; }

client() { # client SCENARIO...
	timeout 100 node "$BATS_TEST_DIRNAME/wrenn_ws.js" "$BASE" "$TOKEN" "$CAPSULE" "$@" 3>&- 4>&-
}

resident() { awk '/^VmRSS/ {print $2}' "/proc/$(daemon_pid)/status"; }

@test "a stream is whole, also for a client that is slow, and its characters too" {
	client stream_whole stream_utf8
}

@test "a command outlives its stream, stopped or lost, and needs nobody to read what it prints" {
	client stream_stop stream_left
}

@test "what begins no stream, and what cannot be run" {
	client stream_wrong
}

@test "a command in the background is listed, watched by several and ended" {
	client process_attach
}

@test "a terminal: input, size, kill; open after its end" {
	client pty_shell
}

@test "a terminal outlives its client and takes several" {
	client pty_reconnect
}

@test "a terminal that cannot be" {
	client pty_refused
}

@test "a large paste arrives whole" {
	client pty_paste
}

@test "browsers bring the token in the query" {
	client query_token
}

@test "five hundred sockets that say nothing cost the daemon little" {
	local before after fifo=$WORK/idle
	mkfifo "$fifo"
	before=$(resident)
	client idle <"$fifo" >"$WORK/idle.out" &
	exec 5>"$fifo"
	wait_until 20 sockets_at_least 500
	after=$(resident)
	echo >&5
	exec 5>&-
	wait $!
	echo "$before KB, then $after KB"
	[ $((after - before)) -lt $((500 * 20)) ]
}
sockets_at_least() { # sockets_at_least N: of the daemon, established
	[ "$(ss -Htn state established "sport = :${BASE##*:}" | wc -l)" -ge "$1" ]
}

@test "a terminal pings its client twice a minute" {
	wait_until 45 grep -q . "$WORK/ping"
	expect "ok pty_ping" "$(cat "$WORK/ping")"
}
