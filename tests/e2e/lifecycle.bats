#!/usr/bin/env bats
# Pause, resume, stop, start, resize and idleness, with real VMs.
load helper
load life_kit

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

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

@test "a disk grows with the next start, and the root file system with it; it does not shrink" {
	make_one a
	before=$(in_vm a "df -k / | awk 'END {print \$2}'")
	in_vm a 'echo kept > /root/kept; sync'
	sbx resize a --disk 6144
	sbx stop a
	sbx start a
	after=$(in_vm a "df -k / | awk 'END {print \$2}'")
	[ "$after" -gt $((before + 1000000)) ]
	expect kept "$(in_vm a 'cat /root/kept')"
	run -1 sbx resize a --disk 100
	[[ $output == *'only grows'* ]]
	sbx pause a
	sbx resume a
	expect "$after" "$(in_vm a "df -k / | awk 'END {print \$2}'")"
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
