#!/usr/bin/env bats
# All sandboxes are born from one memory image: what must differ, and what must be right nevertheless.
load helper

setup_file() {
	e2e_up
	local i
	for i in 1 2 3; do sbx create --name "c$i" --net >/dev/null; done
}
teardown_file() { e2e_down; }

# differ WORDS CMD...: the three clones print three different non-empty lines.
differ() {
	local what=$1 i lines
	shift
	lines=$(for i in 1 2 3; do sbx exec "c$i" -- sh -c "$*"; done)
	expect 3 "$(grep -c . <<<"$lines")" "lines of $what"
	expect 3 "$(sort -u <<<"$lines" | grep -c .)" "different $what in: $lines"
}

@test "random numbers differ from the first byte on" {
	# The very first command of each clone, and through both interfaces.
	differ urandom 'head -c 16 /dev/urandom | sha256sum'
	differ 'kernel uuid' 'cat /proc/sys/kernel/random/uuid'
	local i
	for i in 1 2 3 4; do sbx run -- head -c 16 /dev/urandom | sha256sum; done >"$WORK/first"
	expect 4 "$(sort -u "$WORK/first" | wc -l)" 'first random bytes of four clones'
}

@test "hostname, machine-id and MAC differ" {
	differ hostname hostname
	differ machine-id 'cat /etc/machine-id'
	differ MAC 'cat /sys/class/net/eth0/address'
	expect c1 "$(sbx exec c1 -- hostname)" 'hostname of a named sandbox'
	sbx exec c1 -- sh -c 'grep -qE "^[0-9a-f]{32}$" /etc/machine-id'
}

clock_is_right() { # clock_is_right NAME
	local before guest after
	before=$(date +%s)
	guest=$(sbx exec "$1" -- date +%s)
	after=$(date +%s)
	if [ "$guest" -lt $((before - 1)) ] || [ "$guest" -gt $((after + 1)) ]; then
		fail "guest $guest, host $before to $after"
	fi
}

@test "the clock is right within a second, also after the VM stood still" {
	clock_is_right c1
	local pid
	pid=$(vm_pid c2)
	kill -STOP "$pid"
	sleep 3
	kill -CONT "$pid"
	clock_is_right c2
	clock_is_right c3
}

@test "a clone writes to its own disk only" {
	sbx exec c1 -- sh -c 'echo mine >/root/mine; sync'
	refuse sbx exec c2 -- cat /root/mine
	sbx create --name c4 >/dev/null
	refuse sbx exec c4 -- cat /root/mine
	sbx rm c4
}

@test "the base image is shared and stays as it was" {
	local base
	base=$(find "${SBX_CACHE:-$HOME/.cache/sbx}/images" -name rootfs.ext4 | head -n 1)
	[ -n "$base" ]
	local before
	before=$(stat -c '%Y %s' "$base")
	sbx exec c1 -- sh -c 'head -c 3000000 /dev/urandom >/root/big; sync'
	expect "$before" "$(stat -c '%Y %s' "$base")"
}

@test "private memory of an idle clone is small" {
	local kb
	kb=$(awk '/^Private_(Clean|Dirty)/ { s += $2 } END { print s }' "/proc/$(vm_pid c3)/smaps_rollup")
	[ "$kb" -lt 80000 ] || fail "$kb kB"
}

@test "the guest has what a shell user expects" {
	sbx exec c1 -- sh -c 'test -c /dev/null && test -c /dev/urandom && test -w /tmp && test -d /proc/1 && test -d /sys/class && mount | grep -q " / "'
	sbx exec c1 -- sh -c 'echo $PATH | grep -q /bin && test -n "$HOME" && cd && pwd'
	sbx exec c1 -- sh -c 'test -c /dev/ptmx && ls /dev/pts >/dev/null && ip addr show lo | grep -q 127.0.0.1'
}
