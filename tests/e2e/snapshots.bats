#!/usr/bin/env bats
# Snapshots of running and paused sandboxes, what is created from them, and their way to other homes; with real VMs.
load helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

setup() {
	D=$WORK/d$BATS_TEST_NUMBER
	mkdir -p "$D"
	FAR=
}
# A test that failed leaves sandboxes that would get in the way of the others' counts.
teardown() {
	sbx rm --all --yes >/dev/null 2>&1 || true
	if [ -n "$FAR" ]; then
		far down --yes >/dev/null 2>&1 || true
		if mountpoint -q "$FAR"; then umount "$FAR"; fi
	fi
	local name
	for name in $(sbx snapshot ls -o json | jq -r '.[].name'); do sbx snapshot rm "$name"; done
}

make_one() { sbx create --name "$@" >/dev/null; } # make_one NAME [OPTIONS]
state() { field "$1" state; }
in_vm() { sbx exec "$1" -- sh -c "$2"; }

# counter NAME: a process of the guest that counts for ever, in memory; the number is seen in /tmp/n (renamed, so never half of one).
counter() {
	in_vm "$1" '(setsid sh -c "i=0; while :; do i=\$((i + 1)); echo \$i >/tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.1; done" </dev/null >/dev/null 2>&1 &)'
	wait_until 20 in_vm "$1" 'test -s /tmp/n'
}
count() { in_vm "$1" 'cat /tmp/n'; }
counts_past() { [ "$(count "$1")" -gt "$2" ]; } # counts_past NAME N
snapshots() { sbx snapshot ls -o json | jq -r '.[].name' | xargs; }
tree_of() { sbx snapshot inspect "$1" -o json | jq -r .tree; }
stored() { sbx fs stats -o json | jq .storedBytes; }
far() { SBX_HOME=$FAR SBX_CACHE=${FAR_CACHE:-$SBX_CACHE} sbx "$@"; } # of another home with a daemon of its own

# fails_with REGEX ARGS...: sbx ends with 1 and says what matches on standard error
fails_with() {
	run --separate-stderr sbx "${@:2}"
	expect_status 1
	expect '' "$output"
	expect_match "$1" "$stderr"
}

@test "what is created from a snapshot of a running sandbox goes on from there, each by itself" {
	make_one a --env GREETING=hello
	counter a
	in_vm a 'echo before >/root/f; echo before >/tmp/m'
	local n id what
	n=$(count a)
	run --separate-stderr sbx snapshot create a one
	expect_status 0
	expect one "$output"
	expect '' "$stderr"
	wait_until 20 counts_past a "$(count a)"
	in_vm a 'echo after >/root/f; echo after >/tmp/m'
	# two at once from a snapshot that nobody has used yet
	command sbx create --snapshot one --name b >"$D/b" 3>&- &
	make_one c --snapshot one
	wait $!
	for id in b c; do
		expect running "$(state "$id")"
		expect 'before before hello' "$(in_vm "$id" 'echo $(cat /root/f /tmp/m) $GREETING')"
		[ "$(count "$id")" -ge "$n" ]
		wait_until 20 counts_past "$id" "$(count "$id")"
	done
	for id in a b c; do in_vm "$id" "echo $id >/root/f; echo $id >/tmp/m; sync"; done
	for id in a b c; do expect "$id $id" "$(in_vm "$id" 'echo $(cat /root/f /tmp/m)')"; done
	for what in hostname 'cat /etc/machine-id' 'cat /sys/class/net/eth0/address' 'head -c16 /dev/urandom | hexdump -C' \
		'cat /proc/sys/kernel/random/uuid'; do
		for id in a b c; do in_vm "$id" "$what" | head -n 1; done >"$D/differ"
		expect 3 "$(sort -u "$D/differ" | wc -l)" "different answers to $what"
	done
	expect 3 "$(ids | sort -u | wc -l)"
	expect before "$(sbx run --snapshot one -- cat /root/f)"
	expect_consistent
}

@test "of a paused one; it stays paused, and what is made of the snapshot can do all that others can" {
	make_one a
	counter a
	in_vm a 'echo kept >/root/f; sync'
	local n
	n=$(count a)
	sbx pause a
	sbx snapshot create a one >/dev/null
	expect paused "$(state a)"
	make_one b --snapshot one
	wait_until 20 counts_past b "$n"
	n=$(count b)
	sbx pause b
	sbx resume b
	wait_until 20 counts_past b "$((n - 1))"
	sbx fork b --name c >/dev/null
	wait_until 20 counts_past c "$n"
	sbx stop b
	sbx start b
	expect kept "$(in_vm b 'cat /root/f')"
	sbx snapshot create b two >/dev/null # of one that has booted
	make_one d --snapshot two
	expect kept "$(in_vm d 'cat /root/f')"
	sbx stop a
	fails_with 'it is stopped' snapshot create a three
	expect 'one two' "$(snapshots)"
}

@test "names: taken, replaced, bad, unknown; all formats" {
	make_one a
	in_vm a 'echo 1 >/root/f'
	sbx snapshot create a one >/dev/null
	local tree
	tree=$(tree_of one)
	fails_with "'one' already" snapshot create a one
	expect "$tree" "$(tree_of one)"
	in_vm a 'echo 2 >/root/f'
	sbx snapshot create a one --replace >/dev/null
	[ "$tree" != "$(tree_of one)" ]
	expect 2 "$(sbx run --snapshot one -- cat /root/f)"
	refuse sbx snapshot create a .bad
	refuse sbx snapshot create a ''
	refuse sbx snapshot create a "$(printf '%064d' 0)"
	fails_with "no snapshot 'nosuch'" snapshot inspect nosuch
	fails_with "no snapshot 'nosuch'" snapshot rm nosuch
	fails_with "no snapshot 'nosuch'" snapshot export nosuch
	fails_with "no snapshot 'nosuch'" create --snapshot nosuch
	fails_with "no sandbox 'nosuch'" snapshot create nosuch x
	run sbx create --snapshot one --image base
	expect_status 2
	expect_match 'one +base +1 +256 MiB' "$(sbx snapshot ls)"
	expect_match 'name: .?one' "$(sbx snapshot inspect one -o yaml)"
	expect_match 'Name: +one' "$(sbx snapshot inspect one)"
	expect two "$(sbx snapshot create a two)"
	expect "$(sbx snapshot inspect two -o json | jq -c 'keys')" "$(sbx snapshot ls -o json | jq -c '.[0] | keys')"
	# of several, all are tried
	run --separate-stderr sbx snapshot rm one nosuch two
	expect_status 1
	expect '' "$(snapshots)"
}

@test "two of one name at once: one of them gets it" {
	make_one a
	make_one b
	local won=0
	command sbx snapshot create a one >"$D/out" 2>"$D/err" 3>&- &
	if sbx snapshot create b one >/dev/null 2>"$D/err2"; then won=1; fi
	if wait $!; then won=$((won + 1)); fi
	expect 1 "$won" 'those that got it'
	expect_match "'one' already" "$(cat "$D/err" "$D/err2")"
	expect one "$(snapshots)"
}

@test "a snapshot of an idle sandbox costs little beside another; gc keeps what is named and frees what is not" {
	make_one a
	sbx snapshot create a one >/dev/null
	local before after
	before=$(stored)
	sbx snapshot create a two >/dev/null
	after=$(stored)
	[ $((after - before)) -le 1048576 ] || fail "the second one took $((after - before)) bytes"
	sbx fs gc >/dev/null
	sbx fs fsck
	sbx run --snapshot one -- true
	make_one b --snapshot two
	in_vm b 'echo b >/root/f; sync'
	sbx snapshot rm one two
	sbx fs gc >/dev/null
	sbx fs fsck
	[ "$(stored)" -lt "$before" ] || fail "nothing was freed"
	expect b "$(in_vm b 'cat /root/f')"
	sbx pause b
	sbx resume b
	expect b "$(in_vm b 'cat /root/f')"
	# what it came from is in the store no more: it is put there again
	sbx snapshot create b three >/dev/null
	sbx fs fsck
	expect b "$(sbx run --snapshot three -- cat /root/f)"
}

@test "export and import into another home, with the same cache and with none" {
	make_one a
	counter a
	local n
	n=$(count a)
	sbx snapshot create a one >/dev/null
	sbx snapshot export one "$D/one.snap"
	expect "SBXSNAP 1,name one,tree $(tree_of one)," "$(head -n 4 "$D/one.snap" | paste -sd,)"
	sbx snapshot export one | cmp - "$D/one.snap"
	FAR=$D/far
	expect one "$(far snapshot import "$D/one.snap")"
	expect "$(tree_of one)" "$(far snapshot inspect one -o json | jq -r .tree)"
	far create --snapshot one --name b >/dev/null
	[ "$(far exec b -- cat /tmp/n)" -ge "$n" ]
	far exec b -- sh -c 'echo far >/root/f; sync'
	far pause b
	far resume b
	far fs fsck
	run --separate-stderr env SBX_HOME="$FAR" sbx snapshot import "$D/one.snap"
	expect_status 1
	expect_match "'one' already" "$stderr"
	expect two "$(far snapshot import - --name two <"$D/one.snap")"
	expect one "$(far snapshot import --replace "$D/one.snap" -o json | jq -r .name)"
	far down --yes
	# neither image nor template
	FAR=$D/far2
	export FAR_CACHE=$D/cache
	expect one "$(far snapshot import - <"$D/one.snap")"
	far create --snapshot one --name b >/dev/null
	[ "$(far exec b -- cat /tmp/n)" -ge "$n" ]
	# from one home to another, only what is missing
	in_vm a 'echo 2 >/root/f'
	sbx snapshot create a two >/dev/null
	expect two "$(sbx snapshot copy two "unix:$FAR/sbxd.sock")"
	expect 2 "$(far run --snapshot two -- cat /root/f)"
	expect back "$(sbx --host "unix:$FAR/sbxd.sock" snapshot copy two default --name back)"
	expect "$(tree_of two)" "$(tree_of back)"
	far down --yes
}

@test "what is no snapshot, cut or changed is refused, and nothing is named" {
	make_one a
	sbx snapshot create a one >/dev/null
	sbx snapshot export one "$D/s"
	local size head tree at
	size=$(stat -c %s "$D/s")
	head=$(head -n 4 "$D/s" | wc -c)
	FAR=$D/far
	far up >/dev/null 2>&1
	bad() { # bad REGEX < FILE
		run --separate-stderr env SBX_HOME="$FAR" sbx snapshot import - --name bad
		expect_status 1
		expect '' "$output"
		expect_match "$1" "$stderr"
		expect '' "$(far snapshot ls -o json | jq -r '.[].name')"
	}
	: | bad 'no snapshot'
	head -c 100000 /dev/urandom | bad 'no snapshot'
	head -c 20 "$D/s" | bad 'damaged or cut'
	head -c "$head" "$D/s" | bad 'cut'
	head -c $((size / 2)) "$D/s" | bad 'cut'
	head -c $((size - 1)) "$D/s" | bad 'cut'
	{ cat "$D/s"; echo more; } | bad 'follows'
	for at in "$((head + 3))" "$((head + 30))" "$((size / 3))" "$((size / 2))" "$((size - 3))"; do
		python3 - "$D/s" "$at" >"$D/changed" <<-'EOF'
			import sys
			data = bytearray(open(sys.argv[1], "rb").read())
			data[int(sys.argv[2])] ^= 0x41
			sys.stdout.buffer.write(data)
		EOF
		bad 'cannot import' <"$D/changed"
	done
	# a head that names another tree, none, or one that is no machine
	tree=$(tree_of one)
	sed "3s/$tree/$(printf '%064d' 1)/" "$D/s" | bad 'cannot import'
	sed '3s/tree .*/tree x/' "$D/s" | bad 'damaged'
	sed '2s/name .*/other/' "$D/s" | bad 'damaged'
	mkdir "$D/dir"
	echo x >"$D/dir/vm.json"
	tree=$(SBX_HOME=$FAR sbx fs push --detach "$D/dir")
	run api_far /snapshots -X POST -H 'Content-Type: application/json' -d "{\"name\":\"bad\",\"tree\":\"$tree\"}"
	expect_match '"code"' "$output"
	expect '' "$(far snapshot ls -o json | jq -r '.[].name')"
	far fs fsck
	far down --yes
}
api_far() { SBX_HOME=$FAR api "$@"; }

@test "a large disk: snapshot, create, fork, snapshot again" {
	make_one a
	local first second
	first=$(in_vm a 'dd if=/dev/urandom of=/root/big bs=1M count=20 2>/dev/null; sync; sha256sum </root/big')
	sbx snapshot create a one >/dev/null
	make_one b --snapshot one
	expect "$first" "$(in_vm b 'echo 3 >/proc/sys/vm/drop_caches; sha256sum </root/big')"
	sbx fork b --name c >/dev/null
	second=$(in_vm c 'dd if=/dev/urandom of=/root/more bs=1M count=20 2>/dev/null; sync; sha256sum </root/more')
	sbx snapshot create c two >/dev/null
	sbx rm a b c
	make_one d --snapshot two
	in_vm d 'echo 3 >/proc/sys/vm/drop_caches'
	expect "$first $second" "$(in_vm d 'sha256sum </root/big') $(in_vm d 'sha256sum </root/more')"
	sbx fs fsck
}

# keep_file NAME N: 5 MB more on its disk, which is too much to copy, and their sum
keep_file() {
	in_vm "$1" "dd if=/dev/urandom of=/root/kept$2 bs=1M count=5 2>/tmp/said || { cat /tmp/said >&2; exit 1; }
		md5sum /root/kept$2 >>/root/sums && sync && echo 3 >/proc/sys/vm/drop_caches"
}
# All of them are as they were written, on the disk.
kept() { in_vm "$1" 'echo 3 >/proc/sys/vm/drop_caches; md5sum -c -s /root/sums && wc -l </root/sums'; }

@test "the disk goes on through many snapshots and forks, as it was written" {
	make_one a
	local i
	for i in $(seq 9); do
		keep_file a "$i"
		if [ $((i % 3)) = 0 ]; then sbx fork a --name "f$i" >/dev/null; else sbx snapshot create a "s$i" >/dev/null; fi
		[ $((i % 3)) != 0 ] || expect "$i" "$(kept a)" "files after round $i"
	done
	expect 6 "$(kept f6)"
	keep_file f6 7
	sbx snapshot create f6 of6 >/dev/null
	expect 7 "$(kept f6)"
	sbx pause a # many layers become one
	sbx resume a
	expect 9 "$(kept a)"
	keep_file a 10
	sbx snapshot create a s10 >/dev/null
	sbx stop a
	sbx start a
	expect 10 "$(kept a)"
	expect 8 "$(sbx run --snapshot s8 -- sh -c 'md5sum -c -s /root/sums && wc -l </root/sums')"
	sbx fs fsck
}

@test "kill -9 of the daemon during a snapshot: it is there and usable, or not there; the sandbox runs on" {
	make_one a
	counter a
	sbx snapshot create a first >/dev/null
	local i n pid name
	for i in $(seq 8); do
		n=$(count a)
		keep_file a "$i"
		pid=$(daemon_pid)
		command sbx snapshot create a "s$i" >/dev/null 2>&1 3>&- &
		python3 -c "import time; time.sleep(0.02 * $i)"
		kill -9 "$pid"
		wait $! || true
		wait_until 5 test ! -d "/proc/$pid"
		wait_until 20 counts_past a "$n"
		[ $((i % 4)) != 0 ] || expect "$i" "$(kept a)" "files after round $i"
	done
	for name in $(snapshots); do
		[ "$(sbx run --snapshot "$name" -- cat /tmp/n)" -gt 0 ] || fail "'$name' is of no use"
	done
	sbx snapshot create a last >/dev/null
	sbx fs fsck
	expect_consistent
}

@test "a full disk: an error, nothing by that name, and the sandbox runs on" {
	FAR=$D/disk
	mkdir "$FAR"
	# A home with a snapshot has 150 MiB, most of it the template: the rest is room for larger ones, and what the filler takes.
	mount -t tmpfs -o size=1g,mode=700 none "$FAR" 2>/dev/null || skip 'cannot mount here'
	far create --name a >/dev/null
	far exec a -- sh -c 'echo 0 >/root/f; sync'
	expect '[]' "$(far snapshot ls -o json)"
	[ ! -e "$FAR/store" ] || fail 'the question made a store'
	local round had='[]'
	for round in 1 2; do # without a store, and with one
		cat /dev/zero >"$FAR/filler" 2>/dev/null || true
		run --separate-stderr env SBX_HOME="$FAR" sbx snapshot create a "full$round"
		expect_status 1
		expect_match '[Ss]pace' "$stderr"
		expect "$had" "$(far snapshot ls -o json | jq -c 'map(.name)')"
		expect $((round - 1)) "$(far exec a -- cat /root/f)"
		rm "$FAR/filler"
		far exec a -- sh -c "echo $round >/root/f; sync"
		far snapshot create a "room$round" >/dev/null
		had='["room1"]'
	done
	expect 2 "$(far run --snapshot room2 -- cat /root/f)"
	far fs fsck
	far down --yes
}
