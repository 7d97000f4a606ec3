#!/usr/bin/env bats
# Where a real QEMU runs. What can be tried from in there is tried in tests/unit/t_jail.c; here is what the kernel says of it.
load helper

setup_file() {
	e2e_up
	sbx create --name one --net >/dev/null
	sbx create --name two >/dev/null
}
teardown_file() { e2e_down; }

# Layers that this host gives; without one there is nothing to look at.
need() { # need LAYER...
	local layer
	for layer in "$@"; do
		api /system | jq -e --arg l "$layer" '.isolation[] | select(.layer == $l) | .on' >/dev/null || skip "no '$layer' here"
	done
}
status_of() { awk -v k="$2:" '$1 == k { $1 = ""; print substr($0, 2) }' "/proc/$1/status"; }

@test "no capabilities, none to be had, QEMU's filter of system calls is on" {
	local pid set
	pid=$(vm_pid one)
	for set in CapInh CapPrm CapEff CapAmb; do expect 0000000000000000 "$(status_of "$pid" "$set")" "$set"; done
	expect 1 "$(status_of "$pid" NoNewPrivs)"
	expect 2 "$(status_of "$pid" Seccomp)"
	need user
	expect 0000000000000000 "$(status_of "$pid" CapBnd)"
}

@test "two VMs are two users, whom nobody else is" {
	[ "$(id -u)" = 0 ] || skip 'an ordinary user has one uid only'
	need user
	local name pid uid
	for name in one two; do
		pid=$(vm_pid "$name")
		uid=$((0x7b000000 + pid))
		expect "$uid $uid $uid $uid" "$(status_of "$pid" Uid)"
		expect "$uid $uid $uid $uid" "$(status_of "$pid" Gid)"
		expect '' "$(status_of "$pid" Groups | tr -d ' ')"
		refuse getent passwd "$uid"
		expect '' "$(find "$SBX_HOME" -uid "$uid")"
	done
}

@test "its root holds nothing but what it needs, read-only" {
	need files
	local pid other
	pid=$(vm_pid one)
	other=$(vm_pid two)
	refuse test "/proc/$pid/root/" -ef /
	refuse test "/proc/$pid/root/" -ef "/proc/$other/root/"
	expect 'dev etc lib lib64 proc usr' "$(find "/proc/$pid/root/" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs)"
	expect 'ld.so.cache' "$(ls "/proc/$pid/root/etc")"
	refuse ls "/proc/$pid/root$SBX_HOME"
	# options of every mount that it sees
	expect '' "$(awk '$6 !~ /^ro,nosuid/' "/proc/$pid/mountinfo")"
}

@test "namespaces of its own, not shared with the next VM" {
	need processes network ipc files
	local pid other ns
	pid=$(vm_pid one)
	other=$(vm_pid two)
	for ns in pid net ipc uts mnt cgroup; do
		refuse test "/proc/$pid/ns/$ns" -ef "/proc/self/ns/$ns"
		refuse test "/proc/$pid/ns/$ns" -ef "/proc/$other/ns/$ns"
	done
	expect 1 "$(status_of "$pid" NSpid | awk '{ print $NF }')"
}

@test "open are its own files and those below its disk, and of the latter none for writing" {
	local pid fd target id
	pid=$(vm_pid one)
	id=$(field one id)
	for fd in "/proc/$pid/fd/"*; do
		target=$(readlink "$fd") || continue
		case $target in
		"$SBX_HOME/vms/$id/"* | /dev/null | /memfd:sbx-ram* | /memfd:vmm.log* | socket:* | anon_inode:*) ;;
		"$SBX_HOME/bases/"*) expect 0 "$(sed -n 's/^flags:.*\(.\)$/\1/p' "/proc/$pid/fdinfo/${fd##*/}")" "$target" ;;
		*) fail "it has $target" ;;
		esac
	done
}

@test "the network's helper lives in a jail of its own, and ends with the VM" {
	local pid net
	sbx create --name short --net >/dev/null
	pid=$(vm_pid short)
	net=$(pgrep -P "$pid" -x sbx-net)
	expect 2 "$(status_of "$net" Seccomp)"
	expect 0000000000000000 "$(status_of "$net" CapEff)"
	refuse test "$(status_of "$net" Uid)" = "$(status_of "$pid" Uid)"
	kill -9 "$pid"
	wait_until 5 ended "$net"
	sbx rm short >/dev/null
}

@test "a daemon that was killed finds it again, and can still read its memory" {
	local old
	old=$(daemon_pid)
	sbx exec two -- sh -c 'echo kept >/run/kept'
	kill -9 "$old"
	wait_until 5 ended "$old"
	sbx pause two >/dev/null
	sbx resume two >/dev/null
	expect kept "$(sbx exec two cat /run/kept)"
	sbx fork two --name three >/dev/null
	expect kept "$(sbx exec three cat /run/kept)"
}

@test "doctor names the layers, as the API does" {
	api /system | jq -e '.isolation | length == 7 and all(.on or (.reason | length > 0) and (.mend | length > 0))'
	expect "$(api /system | jq -r '[.isolation[] | select(.on) | .layer] | join(", ")')" \
		"$(sbx doctor --quick -o json | jq -r '.[] | select(.check == "isolation" and .status == "ok").detail' | sed 's/.* own //')"
}
