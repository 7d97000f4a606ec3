#!/usr/bin/env bats
# Create is all or nothing: the daemon, the client and the VMM are killed at many points of it.
load ../e2e/helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

POINTS="0.000 0.005 0.010 0.020 0.030 0.040 0.050 0.060 0.070 0.080 0.090 0.100 0.120 0.140 0.160 0.180 0.200 0.230 0.260 0.300"

# all_or_nothing NAME: the sandbox is there and answers, or there is no trace of it and its name is free.
all_or_nothing() {
	if sbx inspect "$1" >/dev/null 2>&1; then
		expect ok "$(timeout 20 sbx exec "$1" -- echo ok 3>&-)" "answer of $1"
		sbx rm -f "$1"
	else
		sbx create --name "$1" >/dev/null || fail "the name $1 is not free again"
		sbx rm "$1"
	fi
}

@test "kill -9 of the daemon at twenty points" {
	local at i=0 pid client status
	for at in $POINTS; do
		i=$((i + 1))
		sbx ls >/dev/null
		pid=$(daemon_pid)
		status=0
		command sbx create --name "k$i" >"$WORK/id" 2>/dev/null 3>&- &
		client=$!
		sleep "$at"
		kill -9 "$pid"
		wait "$client" || status=$?
		expect_consistent
		# An id that was printed is a promise.
		if [ "$status" -eq 0 ]; then
			sbx inspect "$(cat "$WORK/id")" >/dev/null || fail "k$i was promised and is gone"
		fi
		all_or_nothing "k$i"
	done
	expect '' "$(ids)"
	expect_consistent
}

@test "kill -9 of the client at twenty points" {
	local at i=0 client
	for at in $POINTS; do
		i=$((i + 1))
		command sbx create --name "c$i" >"$WORK/id" 2>/dev/null 3>&- &
		client=$!
		sleep "$at"
		kill -9 "$client" 2>/dev/null || true
		wait "$client" 2>/dev/null || true
	done
	expect_consistent
	for i in $(seq 20); do all_or_nothing "c$i"; done
	expect '' "$(ids)"
	expect_consistent
}

@test "the VMM killed while it starts: an error, and nothing is left" {
	local i client status pid
	for i in 1 2 3 4 5; do
		status=0
		command sbx create --name "v$i" >/dev/null 2>"$WORK/err" 3>&- &
		client=$!
		for _ in $(seq 200); do
			pid=$(vmm_pids | head -n 1)
			[ -z "$pid" ] || break
			sleep 0.002
		done
		[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
		wait "$client" || status=$?
		if [ "$status" -ne 0 ]; then
			[ -s "$WORK/err" ] || fail 'failed without a word'
			expect_consistent
			refuse sbx inspect "v$i"
		else
			sbx rm -f "v$i"
		fi
	done
	expect_consistent
}

@test "bad image, bad shape, taken name: exit 1 or 2, nothing is left" {
	sbx create --name taken >/dev/null
	local before
	before=$(vmm_pids)
	refuse sbx create --name a --image nosuch
	refuse sbx create --name taken
	refuse sbx create --name b --memory 1
	expect "$before" "$(vmm_pids)"
	expect taken "$(names)"
	sbx rm taken
	expect_consistent
}

@test "a full disk: an error that names it, nothing is left, and all is well afterwards" {
	local home=$WORK/disk
	mkdir -p "$home"
	mount -t tmpfs -o size=160m,mode=700 none "$home" 2>/dev/null || skip 'cannot mount here'
	SBX_HOME=$home sbx create --name fits >/dev/null
	head -c 400000000 /dev/zero >"$home/filler" 2>/dev/null || true
	run --separate-stderr env SBX_HOME="$home" timeout 60 sbx create --name full
	local full=$status words=$stderr
	rm -f "$home/filler"
	SBX_HOME=$home refuse sbx inspect full
	local left
	left=$(find "$home/vms" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)
	SBX_HOME=$home sbx create --name after >/dev/null
	SBX_HOME=$home sbx down --yes
	umount "$home"
	[ "$full" -eq 1 ] || fail "status $full: $words"
	expect 1 "$left" 'folders after the failed create'
}

@test "a hundred creates and removes leave no descriptor, process or folder in the daemon" {
	sbx run -- true
	local pid before after i
	pid=$(daemon_pid)
	before=$(find "/proc/$pid/fd" 2>/dev/null | wc -l)
	for i in $(seq 25); do
		{ sbx run -- true && sbx run -- true; } &
		{ sbx run -- true && sbx run -- true; }
		wait
	done
	expect "$pid" "$(daemon_pid)"
	after=$(find "/proc/$pid/fd" 2>/dev/null | wc -l)
	[ "$after" -le $((before + 3)) ] || fail "descriptors: $before before, $after after"
	expect '' "$(ids)"
	expect_consistent
}
