#!/usr/bin/env bats
# What a sandbox owes to no daemon and to no other sandbox: kill -9, adoption, VMs that hang.
load helper

setup_file() {
	e2e_up
	sbx create --name demo >/dev/null
	sbx create --name other >/dev/null
}
teardown_file() { e2e_down; }

# stuck NAME: its VMM stopped; always continued again by the test's end.
stuck() {
	STUCK=$(vm_pid "$1")
	kill -STOP "$STUCK"
}
teardown() {
	[ -z "${STUCK:-}" ] || kill -CONT "$STUCK" 2>/dev/null || true
}

kill_daemon() {
	local pid
	pid=$(daemon_pid)
	kill -9 "$pid"
	wait_until 5 test ! -d "/proc/$pid"
}

@test "after kill -9 of the daemon the VMs go on, and the next command finds them" {
	local before
	before=$(vm_pid demo)
	sbx exec demo -- sh -c 'echo kept >/tmp/kept'
	kill_daemon
	[ -d "/proc/$before" ]
	expect 'still here' "$(sbx exec demo -- echo still here)"
	expect kept "$(sbx exec demo -- cat /tmp/kept)"
	expect "$before" "$(vm_pid demo)"
	expect_consistent
}

@test "three kills in a row, with commands running" {
	local i
	for i in 1 2 3; do
		command sbx exec demo -- sleep 618 >/dev/null 2>&1 3>&- &
		local pid=$! status=0
		sleep 0.2
		kill_daemon
		wait "$pid" || status=$?
		[ "$status" -ne 0 ] || fail 'the client of a dead daemon reports success'
		expect "$i" "$(sbx exec demo -- echo "$i")"
		expect "$i" "$(sbx exec other -- echo "$i")"
	done
	expect_consistent
}

@test "a command in the moment after kill -9 reaches the next daemon" {
	local i
	for i in $(seq 15); do
		kill -9 "$(daemon_pid)"
		expect ok "$(sbx exec demo -- echo ok)"
	done
}

# dying HOW ARGS...: sbx against dying.py; what the next daemon was asked goes to $WORK/asked
dying() {
	mkdir -p "$WORK/dying"
	rm -f "$WORK/said"
	timeout 60 python3 "$TOP/tests/e2e/dying.py" "$WORK/dying/sbxd.sock" "$1" >"$WORK/said" 3>&- 4>&- &
	local pid=$!
	wait_until 10 test -s "$WORK/said"
	SBX_HOME=$WORK/dying run --separate-stderr sbx "${@:2}"
	kill "$pid"
	tail -n +2 "$WORK/said" >"$WORK/asked"
}

@test "what a dying daemon did not read goes to the next, what it may have done does not" {
	local how
	for how in queued accepted; do
		dying "$how" up --listen 127.0.0.1:1
		expect_status 0
		expect 'POST /sbx/v1/system/listeners HTTP/1.1' "$(<"$WORK/asked")" "$how"
	done
	for how in read answering; do
		dying "$how" up --listen 127.0.0.1:1
		expect_status 1
		expect_match 'connection to the daemon lost' "$stderr"
		expect '' "$(<"$WORK/asked")" "$how"
	done
	dying read up # only reads
	expect_status 0
	expect 'GET /sbx/v1/system HTTP/1.1' "$(<"$WORK/asked")"
}

@test "down ends what a daemon that was killed left running" {
	local home=$WORK/left
	SBX_HOME=$home sbx create --name left >/dev/null
	kill -9 "$(SBX_HOME=$home sbx api GET /sbx/v1/system | jq .pid)"
	SBX_HOME=$home sbx down --yes
	expect '' "$(ls -A "$home/vms")"
}

@test "a restarted daemon removes adopted VMs as its own" {
	sbx create --name adopted >/dev/null
	local pid
	pid=$(vm_pid adopted)
	kill_daemon
	sbx rm adopted
	wait_until 3 test ! -d "/proc/$pid"
	expect_consistent
}

@test "a VM that died while no daemon ran is not listed as running" {
	sbx create --name dies >/dev/null
	local pid
	pid=$(vm_pid dies)
	kill_daemon
	kill -9 "$pid"
	wait_until 3 test ! -d "/proc/$pid"
	expect stopped "$(field dies state)"
	run --separate-stderr sbx exec dies -- true
	expect_status 1
	sbx rm dies
	expect_consistent
}

@test "a VM that dies under the daemon is seen at once" {
	sbx create --name dies2 >/dev/null
	kill -9 "$(vm_pid dies2)"
	sleep 0.3
	expect stopped "$(field dies2 state)"
	sbx rm dies2
}

@test "a terminal session lives through the daemon's death" {
	python3 "$TOP/tests/e2e/ws.py" "$SBX_HOME/sbxd.sock" /sandboxes/demo/pty --start '{"session": "long", "command": ["sh"]}' --send $'W=long-$((40+2)); echo $W\n' --until long-42 >/dev/null
	kill_daemon
	sbx ls
	python3 "$TOP/tests/e2e/ws.py" "$SBX_HOME/sbxd.sock" /sandboxes/demo/pty --start '{"session": "long", "attach": "only"}' --send $'echo and-$W\n' --until and-long-42 --for 10 >"$WORK/long"
	grep -q and-long-42 "$WORK/long"
	api /sandboxes/demo/sessions/long -X DELETE
}

@test "with one VM stopped by SIGSTOP, ls and every other sandbox answer within 1 s" {
	stuck other
	within 1000 sbx ls >/dev/null
	within 1000 sbx inspect other >/dev/null
	within 1000 sbx exec demo -- true
	command sbx exec other -- true 3>&- &
	local waiting=$!
	within 1000 sbx ls >/dev/null
	within 1000 sbx exec demo -- true
	within 2000 sbx create --name beside >/dev/null
	within 2000 sbx rm beside
	kill -CONT "$STUCK"
	wait "$waiting"
	within 3000 sbx exec other -- true
}

@test "a stuck VM: exec --timeout comes back, rm -f removes it" {
	sbx create --name hangs >/dev/null
	local pid
	stuck hangs
	pid=$STUCK
	run timeout 20 sbx exec --timeout 1 hangs -- true
	[ "$status" -ne 0 ]
	[ "$status" -lt 125 ] || [ "$status" -eq 124 ] || fail "status $status"
	within 3000 sbx rm -f hangs
	wait_until 3 test ! -d "/proc/$pid"
	refuse sbx inspect hangs
	expect_consistent
}

@test "a stuck VM does not hold up the daemon's restart nor its end" {
	sbx create --name hangs2 >/dev/null
	stuck hangs2
	kill_daemon
	within 3000 sbx ls >/dev/null
	within 2000 sbx exec demo -- true
	within 3000 sbx rm -f hangs2
	expect_consistent
}

@test "a daemon that gets SIGTERM leaves the VMs running, and they are adopted" {
	local pid
	pid=$(daemon_pid)
	kill -TERM "$pid"
	wait_until 5 test ! -d "/proc/$pid"
	expect ok "$(sbx exec demo -- echo ok)"
}

@test "a stale socket or a foreign pid file is no obstacle" {
	kill_daemon
	[ -S "$SBX_HOME/sbxd.sock" ]
	expect ok "$(sbx exec demo -- echo ok)"
	kill_daemon
	rm -f "$SBX_HOME/sbxd.sock"
	expect ok "$(sbx exec demo -- echo ok)"
}

@test "a guest that breaks the protocol harms only itself" {
	sbx create --name rude >/dev/null
	sbx exec rude -- sh -c 'kill -9 1; kill -SEGV 1; head -c 100000 /dev/urandom >/dev/vport0p1' 2>/dev/null || true
	within 1000 sbx ls >/dev/null
	within 1000 sbx exec demo -- true
	sbx rm -f rude
	expect_consistent
}
