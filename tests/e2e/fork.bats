#!/usr/bin/env bats
# Children of running and paused sandboxes; the daemon and VMMs killed between all this.
load helper
load life_kit

setup_file() { e2e_up; }
teardown_file() { e2e_down; }


@test "three children go on by themselves; what must differ does, what was written before is in all" {
	make_one a
	counter a
	in_vm a 'echo before >/root/f; echo before >/tmp/m'
	local n id
	n=$(count a)
	run --separate-stderr sbx fork a -n 3 --name c1 --name c2
	expect_status 0
	expect '' "$stderr"
	expect 3 "$(wc -l <<<"$output")" children
	for id in $output; do
		expect running "$(state "$id")"
		expect "$(field a id)" "$(field "$id" parent)"
		expect before "$(in_vm "$id" 'cat /root/f')"
		expect before "$(in_vm "$id" 'cat /tmp/m')"
		[ "$(count "$id")" -ge "$n" ]
	done
	expect "$(field c1 id) $(field c2 id)" "$(head -n 2 <<<"$output" | xargs)"
	local all="a $output"
	for id in $all; do
		in_vm "$id" "echo $id >/root/f; echo $id >/tmp/m; sync"
	done
	for id in $all; do expect "$id $id" "$(in_vm "$id" 'echo $(cat /root/f /tmp/m)')"; done
	for id in $all; do
		n=$(count "$id")
		wait_until 20 counts_past "$id" "$n"
	done
	local what
	for what in hostname 'cat /etc/machine-id' 'cat /sys/class/net/eth0/address' 'head -c16 /dev/urandom | hexdump -C' \
		'cat /proc/sys/kernel/random/uuid'; do
		for id in $all; do in_vm "$id" "$what" | head -n 1; done >"$WORK/differ"
		expect 4 "$(sort -u "$WORK/differ" | wc -l)" "different answers to $what"
	done
	sbx rm a
	for id in $output; do expect "$id" "$(in_vm "$id" 'cat /root/f')"; done
	expect_consistent
}

@test "children of a paused sandbox; it stays paused and can be forked again" {
	make_one a
	counter a
	local n
	n=$(count a)
	sbx pause a
	sbx fork a -n 2 --name c1 --name c2 >/dev/null
	expect paused "$(state a)"
	wait_until 20 counts_past c1 "$n"
	wait_until 20 counts_past c2 "$n"
	sbx fork a --name c3 >/dev/null
	wait_until 20 counts_past c3 "$n"
	sbx resume a
	wait_until 20 counts_past a "$n"
	sbx rm a c1 c2 c3
	expect_consistent
}

@test "grandchildren; a child is paused, resumed, stopped and started" {
	make_one a
	in_vm a 'echo a >>/root/line; sync'
	sbx fork a --name b >/dev/null
	in_vm b 'echo b >>/root/line; sync'
	sbx fork b --name c >/dev/null
	in_vm c 'echo c >>/root/line; sync'
	sbx rm a b
	expect 'a b c' "$(in_vm c 'cat /root/line' | xargs)"
	sbx pause c
	sbx resume c
	sbx stop c
	sbx start c
	expect 'a b c' "$(in_vm c 'cat /root/line' | xargs)"
}

@test "a large disk: forked twice, paused twice, stopped; its contents are those of its own line" {
	make_one a
	local first second
	first=$(in_vm a 'dd if=/dev/urandom of=/root/big bs=1M count=20 2>/dev/null; sync; sha256sum </root/big')
	sbx fork a --name b >/dev/null
	[ -n "$(find "$SBX_HOME/layers" -name '*.qcow2')" ] || fail 'the disk has no layer'
	in_vm a 'echo a >/root/own; sync'
	in_vm b 'echo b >/root/own; sync'
	second=$(in_vm b 'dd if=/dev/urandom of=/root/big bs=1M count=20 2>/dev/null; sync; sha256sum </root/big')
	sbx fork b --name c >/dev/null
	expect "$first" "$(in_vm a 'sha256sum </root/big')"
	expect "$second" "$(in_vm c 'sha256sum </root/big')"
	local i name
	for i in 1 2; do
		sbx pause a b c
		sbx resume a b c
		in_vm c "dd if=/dev/urandom of=/root/more$i bs=1M count=12 2>/dev/null; sync"
	done
	sbx stop a b c
	sbx start a b c
	for name in a b c; do in_vm "$name" 'echo 3 >/proc/sys/vm/drop_caches'; done
	expect "$first" "$(in_vm a 'sha256sum </root/big')"
	expect "$second" "$(in_vm b 'sha256sum </root/big')"
	expect "$second" "$(in_vm c 'sha256sum </root/big')"
	expect 'a b b' "$(for name in a b c; do in_vm "$name" 'cat /root/own'; done | xargs)"
	sbx rm a b
	in_vm c 'echo 3 >/proc/sys/vm/drop_caches'
	expect "$second" "$(in_vm c 'sha256sum </root/big')"
	sbx rm c
	expect '' "$(find "$SBX_HOME/layers" -type f)"
}

@test "ten children at once" {
	make_one a
	counter a
	sbx fork a -n 10 >"$WORK/ten"
	expect 10 "$(sort -u "$WORK/ten" | wc -l)"
	local id
	while read -r id; do expect "$id" "$(sbx exec "$id" -- hostname </dev/null)"; done <"$WORK/ten"
	expect_consistent
}

@test "a fork whose client is killed leaves nothing behind" {
	make_one a
	local at client before
	before=$(ids)
	for at in 0.01 0.05 0.1 0.2 0.3; do
		command sbx fork a -n 3 >"$WORK/out" 2>/dev/null 3>&- &
		client=$!
		sleep "$at"
		kill -9 "$client" 2>/dev/null || true
		wait "$client" 2>/dev/null || true
		if [ -s "$WORK/out" ]; then xargs sbx rm <"$WORK/out"; fi
		expect_consistent
		expect "$before" "$(ids)"
	done
	expect ok "$(sbx exec a -- echo ok)"
}

# ---- the daemon and the VMM die ----

@test "kill -9 of the daemon while paused, and after a fork; everything works on" {
	make_one a
	counter a
	in_vm a 'dd if=/dev/urandom of=/root/big bs=1M count=20 2>/dev/null; sync; sha256sum </root/big >/root/sum'
	sbx pause a
	kill_daemon
	expect paused "$(state a)"
	sbx resume a
	local n
	n=$(count a)
	wait_until 20 counts_past a "$n"
	sbx fork a -n 2 --name c1 --name c2 >/dev/null
	kill_daemon
	local name
	for name in a c1 c2; do
		n=$(count "$name")
		wait_until 20 counts_past "$name" "$n"
		expect "$(in_vm "$name" 'cat /root/sum')" "$(in_vm "$name" 'sha256sum </root/big')"
	done
	sbx fork c1 --name d >/dev/null # running ones that a daemon has taken over can be forked, paused ...
	sbx fork a --name e >/dev/null
	sbx pause c2
	sbx resume c2
	for name in a c1 c2 d e; do
		expect "$(in_vm "$name" 'cat /root/sum')" "$(in_vm "$name" 'echo 3 >/proc/sys/vm/drop_caches; sha256sum </root/big')"
	done
	sbx rm a c1 c2 d e
	expect_consistent
	expect '' "$(find "$SBX_HOME/layers" -type f)"
}

@test "an operation just after kill -9 of the daemon is not refused" {
	make_one a
	local i
	for i in 1 2 3; do
		kill_daemon
		sbx pause a
		kill_daemon
		sbx resume a
		kill_daemon
		sbx fork a --name "c$i" >/dev/null
		expect "c$i" "$(sbx exec "c$i" -- hostname)"
	done
}

@test "kill -9 of the VMM: stopped, with the reason; started again, what was synced is there" {
	make_one a
	in_vm a 'echo kept >/root/kept; sync'
	kill -9 "$(vm_pid a)"
	wait_until 10 is a stopped
	expect_match ended "$(field a reason)"
	sbx start a
	expect null "$(field a reason)"
	expect kept "$(in_vm a 'cat /root/kept')"
}

under_way() { [ "$(state a)" = pausing ] || [ "$(ids | wc -l)" -gt 1 ]; }

@test "the VMM dies in the middle of a fork and of a pause: an error, and it is stopped" {
	local verb pid client status
	make_one a
	in_vm a 'echo kept >/root/kept; sync'
	for verb in fork pause; do
		pid=$(vm_pid a)
		kill -STOP "$pid"
		command sbx "$verb" a >/dev/null 2>"$WORK/err" 3>&- &
		client=$!
		status=0
		wait_until 10 under_way
		kill -9 "$pid"
		wait "$client" || status=$?
		[ "$status" -eq 1 ] || fail "$verb ended with $status"
		[ -s "$WORK/err" ] || fail "$verb failed without a word"
		wait_until 10 is a stopped
		expect 1 "$(ids | wc -l)" sandboxes
		sbx start a
		expect kept "$(in_vm a 'cat /root/kept')"
	done
}
