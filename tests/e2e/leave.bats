#!/usr/bin/env bats
# Operations that lose their daemon, or what they were for, while a worker thread of it is at them. The daemon's allocator overwrites
# what is freed here, so that whoever still uses it does not get away with it.
load helper
load life_kit

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

# A daemon that is a child of the test, which sees how it ends: $DAEMON.
guarded() {
	local pid
	pid=$(daemon_pid)
	kill -TERM "$pid"
	wait_until 20 ended "$pid"
	GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.perturb=165 sbxd >"$WORK/sbxd.log" 2>&1 3>&- 4>&- &
	DAEMON=$!
	wait_until 20 api /system >/dev/null 2>&1
	expect "$DAEMON" "$(daemon_pid)" 'pid of the daemon'
}

# It ends when it is told to, and not otherwise.
ends_well() {
	local status=0
	kill -TERM "$DAEMON"
	wait "$DAEMON" || status=$?
	[ "$status" -eq 0 ] || fail "the daemon ended with $status: $(tail -n 5 "$WORK/sbxd.log")"
}

noise() { in_vm "$1" "dd if=/dev/urandom of=$2 bs=1M count=$3 2>/dev/null; sync"; } # noise NAME FILE MIB: it takes time to store
writes_store() { [ "$(du -s "$SBX_HOME/store" | cut -f1)" -gt $((STORED + 4096)) ]; }
only() { [ "$(names)" = "$1" ]; } # only NAME: no other sandbox is there
writes_image() { [ -n "$(find "$SBX_HOME/images" -name rootfs.ext4 -size +1M 2>/dev/null)" ]; }

# starts ARGS...: sbx in the background: $CLIENT, what it says in $WORK/said
starts() {
	command sbx "$@" >"$WORK/said" 2>&1 3>&- 4>&- &
	CLIENT=$!
}
client_fails() {
	local status=0
	wait "$CLIENT" || status=$?
	[ "$status" -eq 1 ] || fail "expected status 1, got $status: $(cat "$WORK/said")"
}

@test "SIGTERM while a snapshot is written: the daemon ends in order, the VM goes on, nothing is left" {
	make_one a --memory 1024
	noise a /tmp/noise 300
	sbx snapshot create a first >/dev/null # the store is there
	guarded
	noise a /tmp/noise 300
	STORED=$(du -s "$SBX_HOME/store" | cut -f1)
	starts snapshot create a second
	wait_until 30 writes_store
	ends_well
	client_fails
	expect ok "$(in_vm a 'echo ok')"
	expect '' "$(find "$SBX_HOME/vms" -name snapshot.qcow2)"
	sbx snapshot create a third >/dev/null
	expect_consistent
}

@test "SIGTERM while an image is made of a disk: the daemon ends in order, no half image stays" {
	make_one a
	noise a /root/noise 200
	sbx stop a
	guarded
	starts image commit a made
	wait_until 30 writes_image
	ends_well
	client_fails
	refuse sbx image inspect made
	sbx image commit a made >/dev/null
	sbx rm a
	expect y "$(sbx run --image made -- sh -c 'test -s /root/noise && echo y')"
}

@test "children that are removed while the fork's worker is at work: an error, and the parent goes on" {
	make_one a --memory 1024
	noise a /tmp/noise 300
	guarded
	local round
	for round in 1 2 3; do
		starts fork a --name "c$round" --name "d$round"
		wait_until 10 sbx inspect "c$round" >/dev/null 2>&1
		sbx rm -f "c$round" "d$round" 2>/dev/null || true # or it was too late for that
		wait "$CLIENT" || grep -q removed "$WORK/said"
		expect "$DAEMON" "$(daemon_pid)" 'pid of the daemon'
		sbx rm -f "c$round" "d$round" 2>/dev/null || true
		wait_until 20 only a
		expect ok "$(in_vm a 'echo ok')"
	done
	ends_well
	expect_consistent
}

@test "SIGTERM while a fork's worker is at work: the daemon ends in order, the parent goes on, no child stays" {
	make_one a --memory 1024
	noise a /tmp/noise 300
	guarded
	starts fork a --name c --name d
	wait_until 10 sbx inspect d >/dev/null 2>&1
	ends_well
	client_fails
	wait_until 20 only a
	expect ok "$(in_vm a 'echo ok')"
	expect_consistent
}
