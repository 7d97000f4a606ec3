#!/usr/bin/env bats
# Pause, resume, stop, start, fork, resize and idleness, with real VMs; the daemon and VMMs killed in between.
load helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

# A test that failed leaves sandboxes that would get in the way of the others' counts.
teardown() { sbx rm --all --yes >/dev/null 2>&1 || true; }

make_one() { sbx create --name "$@" >/dev/null; } # make_one NAME [OPTIONS]
state() { field "$1" state; }
is() { [ "$(state "$1")" = "$2" ]; } # is NAME STATE
in_vm() { sbx exec "$1" -- sh -c "$2"; }
kill_daemon() {
	local pid
	pid=$(daemon_pid)
	kill -9 "$pid"
	wait_until 5 test ! -d "/proc/$pid"
}

# counter NAME: a process of the guest that counts for ever, in memory; the number is seen in /tmp/n (renamed, so never half of one).
counter() {
	in_vm "$1" '(setsid sh -c "i=0; while :; do i=\$((i + 1)); echo \$i >/tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.1; done" </dev/null >/dev/null 2>&1 &)'
	wait_until 20 in_vm "$1" 'test -s /tmp/n'
}
count() { in_vm "$1" 'cat /tmp/n'; }
counts_past() { [ "$(count "$1")" -gt "$2" ]; } # counts_past NAME N

# fails_with REGEX ARGS...: sbx ends with 1, says what matches on standard error, and a hint on a second line
fails_with() {
	run --separate-stderr sbx "${@:2}"
	expect_status 1
	expect '' "$output"
	expect_match "$1" "$stderr"
	expect 2 "$(wc -l <<<"$stderr")" "lines of: $stderr"
}

# ---- pause and resume ----

@test "a paused sandbox has no process; resumed, what ran in it goes on where it was" {
	make_one a
	counter a
	in_vm a 'echo kept >/tmp/kept; echo disk >/root/disk; exec 9>/tmp/held; sync'
	local pid n
	pid=$(vm_pid a)
	n=$(count a)
	run --separate-stderr sbx pause a
	expect_status 0
	expect '' "$output$stderr"
	expect paused "$(state a)"
	expect null "$(vm_pid a)"
	expect '' "$(vmm_pids)"
	[ ! -d "/proc/$pid" ]
	expect_match 'a +paused' "$(sbx ls)"
	expect a "$(sbx ls --state paused -o json | jq -r '.[].name')"
	sbx resume a
	expect running "$(state a)"
	wait_until 20 counts_past a "$n"
	expect 'kept disk' "$(in_vm a 'echo $(cat /tmp/kept /root/disk)')"
	expect_match 'paused.*resumed' "$(sbx logs a | tr '\n' ' ')"
}

@test "ten pauses in a row lose nothing, and leave nothing behind" {
	local i n before
	make_one a
	counter a
	sbx pause a && sbx resume a
	before=$(find "$SBX_HOME/vms" -type f -printf '%f\n' | sort)
	for i in $(seq 10); do
		in_vm a "echo $i >>/root/log; echo $i >>/tmp/log"
		n=$(count a)
		sbx pause a
		sbx resume a
		wait_until 20 counts_past a "$((n - 1))"
	done
	expect "$(seq 10 | xargs) $(seq 10 | xargs)" "$(in_vm a 'echo $(cat /root/log /tmp/log)')"
	expect "$before" "$(find "$SBX_HOME/vms" -type f -printf '%f\n' | sort)"
}

@test "the clock is right after a pause" {
	make_one a
	sbx pause a
	sleep 2
	sbx resume a
	local guest host
	guest=$(in_vm a 'date +%s')
	host=$(date +%s)
	[ $((host - guest)) -le 1 ] && [ $((guest - host)) -le 1 ] || fail "guest $guest, host $host"
}

@test "what cannot be paused, resumed, started, stopped or forked: exit 1, the reason and a hint" {
	make_one a
	make_one b
	fails_with "cannot resume .*running" resume a
	fails_with "cannot start .*running" start a
	sbx pause a
	fails_with "cannot pause .*paused" pause a
	fails_with "cannot start .*paused" start a
	fails_with "is paused" exec a -- true
	expect_match 'sbx resume' "$stderr"
	fails_with "is paused" cp a:/etc/hostname -
	sbx stop a
	fails_with "cannot pause .*stopped" pause a
	fails_with "cannot resume .*stopped" resume a
	fails_with "cannot stop .*stopped" stop a
	fails_with "cannot fork .*stopped" fork a
	fails_with "is stopped" exec a -- true
	expect_match 'sbx start' "$stderr"
	local verb
	for verb in pause resume stop start fork; do fails_with "no sandbox 'nosuch'" "$verb" nosuch; done
	fails_with "no sandbox 'nosuch'" resize nosuch --vcpus 2
	fails_with "'a' already exists" fork b --name a
	refuse sbx fork b -n 0
	refuse sbx fork b -n 101
	refuse sbx fork b -n 1 --name x --name y
	refuse sbx fork b --name X
	refuse sbx resize b
	refuse sbx create --idle 1x
	expect 'a b' "$(names | xargs)"
	expect_consistent
}

@test "of several, all are tried: exit 1 when one failed; -o json has those that did not" {
	make_one a
	make_one b
	run --separate-stderr sbx pause a nosuch b -o json
	expect_status 1
	expect_match nosuch "$stderr"
	expect '["a","b"] ["paused","paused"]' "$(jq -rc '[.[].name], [.[].state]' <<<"$output" | xargs -d '\n')"
	sbx resume a b
	expect 'running running' "$(state a) $(state b)"
	expect paused "$(sbx pause a -o json | jq -r .state)"
	expect_match 'state: .?paused' "$(sbx inspect a -o yaml)"
	expect_match 'state: .?stopped' "$(sbx stop a -o yaml)"
}

@test "a command that runs during a pause: its client is told, and the guest has it still" {
	make_one a
	command sbx exec a -- sh -c 'echo begun; sleep 1000' >"$WORK/out" 2>"$WORK/err" 3>&- &
	local client=$! status=0
	wait_until 20 test -s "$WORK/out"
	sbx pause a
	wait "$client" || status=$?
	[ "$status" -eq 1 ] || fail "ended with $status"
	[ -s "$WORK/err" ] || fail 'ended without a word'
	sbx resume a
	expect ok "$(sbx exec a -- echo ok)"
}

@test "pause and exec at the same time: each works, or says why not" {
	local i pids pid
	make_one a
	counter a
	for i in $(seq 8); do
		command sbx exec a -- echo hello >"$WORK/hello" 2>"$WORK/err" 3>&- &
		pids=$!
		command sbx pause a >/dev/null 2>&1 3>&- &
		pids="$pids $!"
		for pid in $pids; do wait "$pid" || true; done
		expect_match 'hello|paus|closed|ended|lost|gone|connect' "$(cat "$WORK/hello" "$WORK/err")"
		is a paused || fail "is $(state a)"
		sbx resume a
	done
	local n
	n=$(count a)
	wait_until 20 counts_past a "$n"
}

@test "two pauses at the same time: one is done, the other refused, and it is paused" {
	local i status good
	make_one a
	for i in 1 2 3 4; do
		good=0
		command sbx pause a >/dev/null 2>&1 3>&- &
		status=0
		sbx pause a 2>/dev/null && good=1
		wait $! && good=$((good + 1))
		expect 1 "$good" 'pauses that succeeded'
		expect paused "$(state a)"
		sbx resume a
	done
}

@test "rm of one that is paused, and of one that is stopped, leaves nothing" {
	make_one a
	make_one b
	sbx pause a
	sbx stop b
	sbx rm a b
	expect '' "$(find "$SBX_HOME/vms" -mindepth 1)"
	expect_consistent
}

# ---- stop and start ----

@test "stop and start: the disk is kept; processes, /run and /tmp's counter are not" {
	make_one a --env GREETING=hello
	counter a
	in_vm a 'echo kept >/root/kept; echo gone >/run/gone; sync'
	local mac id
	mac=$(field a mac)
	id=$(in_vm a 'cat /etc/machine-id')
	sbx stop a
	expect stopped "$(state a)"
	expect '' "$(vmm_pids)"
	sbx start a
	expect running "$(state a)"
	expect kept "$(in_vm a 'cat /root/kept')"
	refuse in_vm a 'test -e /run/gone'
	refuse in_vm a 'ps | grep -v grep | grep -q /tmp/n.new'
	expect "a hello $mac $id" "$(in_vm a 'echo $(hostname) $GREETING $(cat /sys/class/net/eth0/address /etc/machine-id)')"
	sbx stop a # and once more, of a machine that has booted
	sbx start a
	expect kept "$(in_vm a 'cat /root/kept')"
}

@test "stop writes what the guest had not written yet; --force ends it at once" {
	make_one a
	in_vm a 'echo unwritten >/root/late'
	sbx stop a
	sbx start a
	expect unwritten "$(in_vm a 'cat /root/late')"
	in_vm a 'sync'
	sbx stop --force a
	sbx start a
	expect unwritten "$(in_vm a 'cat /root/late')"
}

@test "a started sandbox can be paused, resumed and forked as any" {
	make_one a
	sbx stop a
	sbx start a
	counter a
	local n
	n=$(count a)
	sbx pause a
	sbx resume a
	wait_until 20 counts_past a "$n"
	n=$(count a)
	sbx fork a --name child >/dev/null
	wait_until 20 counts_past child "$n"
	wait_until 20 counts_past a "$n"
}

@test "stop of a paused one drops its memory and keeps its disk" {
	make_one a
	in_vm a 'echo kept >/root/kept; sync; echo gone >/run/gone'
	sbx pause a
	sbx stop a
	expect stopped "$(state a)"
	sbx start a
	expect kept "$(in_vm a 'cat /root/kept')"
	refuse in_vm a 'test -e /run/gone'
}

@test "resize counts from the next start" {
	make_one a
	sbx resize a --vcpus 2 --memory 400
	expect '2 400 1 256' "$(sbx inspect a -o json | jq -r '"\(.vcpus) \(.memoryMb) \(.runsWith.vcpus) \(.runsWith.memoryMb)"')"
	expect 1 "$(in_vm a nproc)"
	sbx pause a
	sbx resume a
	expect 1 "$(in_vm a nproc)"
	sbx stop a
	sbx start a
	expect 2 "$(in_vm a nproc)"
	[ "$(in_vm a "sed -n 's/^MemTotal: *//p' /proc/meminfo | cut -d' ' -f1")" -gt 300000 ]
	expect null "$(field a runsWith)"
	sbx resize a --vcpus 1
	expect '1 400' "$(sbx inspect a -o json | jq -r '"\(.vcpus) \(.memoryMb)"')"
}

# ---- fork ----

@test "three children go on by themselves; what must differ does, what was written before is in all" {
	make_one a
	counter a
	in_vm a 'echo before >/root/f; echo before >/tmp/m'
	local n id parent=a
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

# ---- idleness ----

@test "an idle sandbox is paused, and its next use resumes it: exec, cp, a terminal" {
	make_one a --idle 1
	expect 1 "$(field a idleSeconds)"
	counter a
	local n
	n=$(count a)
	wait_until 20 is a paused
	expect '' "$(vmm_pids)"
	wait_until 20 counts_past a "$n" # by exec
	expect running "$(state a)"
	wait_until 20 is a paused
	echo up >"$WORK/up"
	sbx cp "$WORK/up" a:/tmp/up
	wait_until 20 is a paused
	expect up "$(sbx cp a:/tmp/up -)"
	wait_until 20 is a paused
	expect '200 up' "$(api '/sandboxes/a/files?path=/tmp/up' -w ' %{http_code}' | xargs | awk '{print $2, $1}')"
	wait_until 20 is a paused
	expect 'stdout' "$(api /sandboxes/a/exec -H 'Content-Type: application/json' -d '{"command": ["echo", "stdout"]}' | jq -r .stdout)"
	wait_until 20 is a paused
	expect_match /dev/pts "$(script -qec 'sbx exec -t a -- tty' /dev/null </dev/null)"
	wait_until 20 is a paused
	sbx resume a # and on request
	expect running "$(state a)"
}

@test "what is in use is not idle" {
	make_one a --idle 1
	expect done "$(in_vm a 'sleep 4; echo done')"
	expect running "$(state a)"
	local i
	for i in 1 2 3 4 5 6 7 8; do
		sleep 0.5
		in_vm a true
		is a running || fail "paused in spite of its use, in round $i"
	done
}

@test "eight uses at once of one that is idle: all are served" {
	make_one a --idle 1
	wait_until 20 is a paused
	local i pids=''
	for i in 1 2 3 4 5 6 7 8; do
		command sbx exec a -- echo "$i" >"$WORK/use$i" 2>&1 3>&- &
		pids="$pids $!"
	done
	for i in $pids; do wait "$i"; done
	for i in 1 2 3 4 5 6 7 8; do expect "$i" "$(cat "$WORK/use$i")"; done
}

@test "one that was paused on request is not resumed by its use" {
	make_one a --idle 3600
	sbx pause a
	fails_with 'is paused' exec a -- true
	expect paused "$(state a)"
}

@test "idleness is remembered by the next daemon; a fresh one gives it its time" {
	make_one a --idle 1
	wait_until 20 is a paused
	kill_daemon
	expect paused "$(state a)"
	expect ok "$(sbx exec a -- echo ok)"
	wait_until 20 is a paused
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
