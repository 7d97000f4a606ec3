#!/usr/bin/env bats
# Sandboxes from create to rm, the daemon from up to down.
load helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

@test "create prints the id and nothing else, and the sandbox answers at once" {
	run --separate-stderr sbx create --name first
	expect_status 0
	expect_match '^[a-z0-9-]+$' "$output"
	expect "$output" "$(field first id)"
	expect ok "$(sbx exec "$output" -- echo ok)"
	expect ok "$(sbx exec first -- echo ok)"
}

@test "inspect and ls show what create was told" {
	sbx create --name shaped --vcpus 2 --memory 512 --env A=1 --env 'B=two words' >/dev/null
	expect 2 "$(field shaped vcpus)"
	expect 512 "$(field shaped memoryMb)"
	expect running "$(field shaped state)"
	expect 'two words' "$(field shaped env.B)"
	expect 2 "$(sbx exec shaped -- nproc)"
	expect '1 two words' "$(sbx exec shaped -- sh -c 'echo $A $B')"
	local kb
	kb=$(sbx exec shaped -- sh -c "sed -n 's/^MemTotal: *//p' /proc/meminfo | cut -d' ' -f1")
	[ "$kb" -gt 400000 ] && [ "$kb" -lt 540000 ]
	expect_match 'shaped +.*running' "$(sbx ls)"
	sbx inspect shaped -o yaml | grep -q 'name: .*shaped'
	sbx rm shaped
}

@test "a name that is taken: exit 1, and nothing is left of the attempt" {
	run --separate-stderr sbx create --name first
	expect_status 1
	expect '' "$output"
	expect_match 'first' "$stderr"
	expect_consistent
}

@test "bad names and shapes are refused" {
	local name
	for name in -x x- X 'a b' a/b .. "$(printf 'a%.0s' {1..64})" ''; do
		run --separate-stderr sbx create --name="$name"
		[ "$status" -eq 1 ] || [ "$status" -eq 2 ] || fail "name '$name': $status"
		expect '' "$output"
	done
	refuse sbx create --memory 1
	refuse sbx create --vcpus 0
	refuse sbx create --vcpus 1000
	expect_consistent
}

@test "rm removes the process, the folder and the name; several at once" {
	local pid
	sbx create --name gone >/dev/null
	sbx create --name gone2 >/dev/null
	pid=$(vm_pid gone)
	[ -d "/proc/$pid" ]
	sbx rm gone gone2
	wait_until 3 test ! -d "/proc/$pid"
	refuse sbx inspect gone
	expect_consistent
	sbx create --name gone >/dev/null
	sbx rm "$(field gone id)"
}

@test "rm of one that is missing ends with 1 and still removes the others" {
	sbx create --name there >/dev/null
	run --separate-stderr sbx rm nosuch there
	expect_status 1
	expect_match nosuch "$stderr"
	refuse sbx inspect there
}

@test "a sandbox with a timeout goes by itself" {
	sbx create --name brief --timeout 2 >/dev/null
	expect ok "$(sbx exec brief -- echo ok)"
	wait_until 10 refuse sbx inspect brief
	expect_consistent
}

@test "a guest that powers off shows as stopped, and can be removed" {
	sbx create --name off >/dev/null
	timeout 20 sbx exec off -- sh -c 'echo b >/proc/sysrq-trigger; sleep 10' || true
	wait_until 10 test "$(field off state)" != creating
	wait_until 10 bash -c "[ \"\$(sbx inspect off -o json | jq -r '(if type == \"array\" then .[0] else . end).state' 3>&-)\" = stopped ]"
	run --separate-stderr timeout 10 sbx exec off -- true
	expect_status 1
	expect_match 'off|stopped|run' "$stderr"
	sbx rm off
	expect_consistent
}

@test "logs tell the life and the commands" {
	sbx create --name told >/dev/null
	sbx exec told -- sh -c 'exit 5' || true
	run --separate-stderr sbx logs told
	expect_status 0
	expect_match 'created' "$output"
	expect_match 'exit' "$output"
	refuse sbx logs nosuch
	expect "$(sbx logs told)" "$(sbx logs told --since 1d)"
	expect '' "$(sbx logs told --since 0s)"
	for wrong in s 5y -1s 5ms 99999999d; do
		run --separate-stderr sbx logs told "--since=$wrong"
		expect_status 2
	done
	sbx rm told
}

@test "eight creates at the same time all work and differ" {
	local i
	for i in 1 2 3 4 5 6 7 8; do
		sbx create --name "par$i" >"$WORK/par$i" 2>"$WORK/par$i.err" &
	done
	wait
	for i in 1 2 3 4 5 6 7 8; do
		[ -s "$WORK/par$i" ] || fail "par$i: $(cat "$WORK/par$i.err")"
		expect "$i" "$(sbx exec "par$i" -- echo "$i")"
	done
	expect 8 "$(sort -u "$WORK"/par? | wc -l)"
	expect_consistent
}

@test "of eight creates with one name exactly one wins" {
	local i won=0
	for i in 1 2 3 4 5 6 7 8; do
		{ sbx create --name same >/dev/null 2>&1 && echo >"$WORK/won$i"; } &
	done
	wait
	won=$(find "$WORK" -name 'won*' | wc -l)
	expect 1 "$won" "winners"
	expect_consistent
	sbx rm same
}

@test "ls of ten is quick, sorted newest first, with every name" {
	sbx create --name last >/dev/null
	local i
	for i in 9 10; do sbx create --name "par$i" >/dev/null; done
	within 1000 sbx ls >"$WORK/ls"
	for i in 1 5 10; do expect_match "par$i" "$(cat "$WORK/ls")"; done
	expect par10 "$(sbx ls -o json | jq -r '(.sandboxes? // .)[0].name')"
	sbx rm par1 par2 par3 par4 par5 par6 par7 par8 par9 par10
	sbx rm last
}

@test "a shell substitution around the first command does not hang: the daemon keeps no descriptor of its caller" {
	sbx down --yes
	wait_until 10 nothing_runs
	local got
	got=$(timeout 30 bash -c 'x=$(command sbx ls 2>&1); echo done' 3>&-)
	expect done "$got"
	# A descriptor that is not a standard one.
	mkfifo "$WORK/leak"
	sbx down --yes
	timeout 20 cat "$WORK/leak" >/dev/null &
	local reader=$!
	(command sbx ls >/dev/null 2>&1 3>&- 9>"$WORK/leak")
	wait "$reader" || fail 'the daemon holds descriptor 9'
}

@test "up says where it listens, twice is fine; down without VMs needs no question" {
	sbx up
	sbx up
	local pid
	pid=$(daemon_pid)
	sbx down </dev/null
	wait_until 5 test ! -d "/proc/$pid"
	run --separate-stderr sbx down
	expect_status 0
}

@test "down asks before it stops running VMs: without an answer it refuses" {
	sbx create --name keep >/dev/null
	run --separate-stderr timeout 20 sbx down </dev/null
	[ "$status" -ne 0 ] || fail 'down stopped a running VM without being told to'
	expect_match 'yes|running' "$output$stderr"
	expect ok "$(sbx exec keep -- echo ok)"
	sbx down --yes
	wait_until 10 nothing_runs
}

@test "after down the removed sandboxes are gone, not half there" {
	expect '' "$(ids)"
	expect_consistent
}

@test "only one daemon serves a home, however many start it at once" {
	sbx down --yes
	local i
	for i in 1 2 3 4 5 6; do
		sbx ls >/dev/null 2>"$WORK/start$i" &
	done
	wait
	expect 1 "$(our_processes | while read -r p; do cat "/proc/$p/comm"; done | grep -c '^sbxd$')" daemons
	sbx ls
}
