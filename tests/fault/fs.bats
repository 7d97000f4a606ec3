#!/usr/bin/env bats
# The store and what can happen to it: kill -9, full disks, read-only ones, flipped bits, cut files.
load ../e2e/helper

setup_file() { e2e_up_plain; }
teardown_file() { e2e_down; }

setup() {
	export SBX_HOME=$WORK/h$BATS_TEST_NUMBER
	D=$WORK/d$BATS_TEST_NUMBER
	mkdir -p "$D"
	cd "$D" || exit 1
}
teardown() {
	if mountpoint -q "$D/mnt" 2>/dev/null; then
		umount "$D/mnt"
	fi
}

# small_disk SIZE: a tmpfs at $D/mnt with the home on it.
small_disk() {
	mkdir mnt
	mount -t tmpfs -o "size=$1" tmpfs mnt 2>/dev/null || skip "may not mount a tmpfs"
	export SBX_HOME=$D/mnt/home
}

head_of() { sbx fs show "$1" -o json | jq -r .id; }

@test "kill -9 at random points of 300 pushes, resets, gcs and merges" {
	seed=${SBX_SEED:-$RANDOM}
	echo "seed $seed" >&2
	WORK=$D timeout 300 python3 "$TOP/tests/fault/fs_kill.py" 300 "$seed"
}

@test "kill -9 of a checkout leaves every file whole, and the next one finishes it" {
	mkdir in
	for i in $(seq 300); do head -c 3000 /dev/urandom >"in/f$i"; done
	sbx fs push in main >/dev/null
	for after in 0.005 0.01 0.02 0.03; do
		timeout -s KILL "$after" sbx fs checkout main out >/dev/null 2>&1 || true
		for f in out/f*; do
			[ -e "$f" ] || continue
			cmp -s "$f" "in/${f#out/}" || fail "$f is half"
		done
	done
	sbx fs checkout main out || sbx fs checkout main out --force
	diff -r in out
}

@test "a full disk: a word about it, the label stays, the store is sound and goes on" {
	small_disk 8m
	mkdir in
	head -c 1000000 /dev/urandom >in/a
	id=$(sbx fs push in main)
	head -c 12000000 /dev/urandom >in/b
	run --separate-stderr sbx fs push in
	expect_status 1
	expect_match '[Ss]pace' "$stderr"
	expect '' "$output"
	expect "$id" "$(head_of main)"
	sbx fs fsck
	mount -o remount,size=64m mnt
	sbx fs push in >/dev/null
	sbx fs fsck
	sbx fs checkout main out
	diff -r in out
}

@test "a full disk while unpacking an archive, cloning and checking out" {
	mkdir in
	head -c 12000000 /dev/urandom >in/b
	sbx fs push in main >/dev/null
	sbx fs export main x.tar
	first=$SBX_HOME
	small_disk 8m
	run --separate-stderr sbx fs import x.tar
	expect_status 1
	expect_match '[Ss]pace' "$stderr"
	run --separate-stderr sbx fs clone "$first"
	expect_status 1
	expect_match '[Ss]pace' "$stderr"
	expect '[]' "$(sbx fs label list -o json)"
	sbx fs fsck
	SBX_HOME=$first
	run --separate-stderr sbx fs checkout main mnt/out
	expect_status 1
	expect '' "$(find mnt/out -type f 2>/dev/null)"
	run --separate-stderr sbx fs export main mnt/y.tar
	expect_status 1
	expect '' "$(find mnt -name 'y.tar*')"
}

@test "a read-only store is read, and nothing else" {
	small_disk 16m
	mkdir in
	echo x >in/a
	id=$(sbx fs push in main)
	mount -o remount,ro mnt
	expect x "$(sbx fs cat main:a)"
	sbx fs checkout main out
	diff -r in out
	sbx fs log main >/dev/null
	sbx fs diff main in
	sbx fs status in >/dev/null || true
	sbx fs fsck
	sbx fs stats -o json | jq -e .readOnly >/dev/null
	echo y >in/a
	for c in 'push in main' 'label set x main' 'label rm main' 'reset main @{0}' gc 'import -'; do
		# shellcheck disable=SC2086 # a command of several words
		run --separate-stderr sbx fs $c </dev/null
		[ "$status" -eq 1 ] || fail "$c: $status"
		expect_match 'read-only|Read-only' "$stderr"
	done
	expect "$id" "$(head_of main)"
}

# flip FILE OFFSET: another bit there.
flip() {
	python3 - "$1" "$2" <<-'END'
		import sys
		with open(sys.argv[1], "r+b") as f:
		    f.seek(int(sys.argv[2])); b = f.read(1); f.seek(int(sys.argv[2])); f.write(bytes([b[0] ^ 0x10]))
	END
}

@test "flipped bits in a pack are found and named; the rest can be read" {
	mkdir in
	for i in 1 2 3 4; do head -c 300000 /dev/urandom >"in/f$i"; done
	sbx fs push in main >/dev/null
	chunk=$(sbx fs stat main:f2 -o json | jq -r '.chunks[0]')
	pack=$(echo "$SBX_HOME"/store/packs/*.pack)
	at=$(python3 -c 'import sys; print(open(sys.argv[1], "rb").read().index(bytes.fromhex(sys.argv[2])))' "$pack" "$chunk")
	flip "$pack" $((at + 1000))
	run --separate-stderr sbx fs fsck
	expect_status 1
	expect_match "$chunk" "$output"
	expect_match 'pack' "$output"
	sbx fs fsck -o json >faults || true
	jq -e '.count >= 1' faults >/dev/null
	run --separate-stderr sbx fs cat main:f2
	expect_status 1
	for i in 1 3 4; do
		sbx fs cat "main:f$i" | cmp - "in/f$i"
	done
	# checkout says what it could not write
	run --separate-stderr sbx fs checkout main out
	expect_status 1
	[ ! -e out/f2 ]
}

@test "a flipped or lost index is made again from its pack" {
	mkdir in
	for i in 1 2 3; do head -c 100000 /dev/urandom >"in/f$i"; done
	sbx fs push in main >/dev/null
	for idx in "$SBX_HOME"/store/packs/*.idx; do
		for at in 0 40 100; do
			flip "$idx" "$at"
			sbx fs checkout main "out$at" --force
			diff -r in "out$at"
			flip "$idx" "$at"
		done
		rm "$idx"
	done
	sbx fs checkout main lost
	diff -r in lost
	echo more >in/f1
	sbx fs push in >/dev/null
	sbx fs fsck
}

@test "a truncated pack: what is lost is named, what is left is read, and a push brings it back" {
	mkdir in
	for i in 1 2 3 4; do head -c 300000 /dev/urandom >"in/f$i"; done
	id=$(sbx fs push in main)
	pack=$(echo "$SBX_HOME"/store/packs/*.pack)
	truncate -s 500000 "$pack"
	run --separate-stderr sbx fs fsck
	expect_status 1
	expect_match 'main' "$output"
	expect main "$(sbx fs label list -o json | jq -r '.[0].name')"
	expect "$id" "$(sbx fs push in main --force)"
	sbx fs fsck
	sbx fs checkout main out
	diff -r in out
}

@test "many pushes at once to one label: one winner a round, nothing lost" {
	mkdir in
	echo 0 >in/n
	sbx fs push in main >/dev/null
	for i in $(seq 8); do sbx fs checkout main "w$i"; done
	for i in $(seq 8); do
		echo "$i" >"w$i/n"
		(sbx fs push "w$i" >"r$i" 2>/dev/null && echo "$i" >>winners) 3>&- &
	done
	wait
	expect 1 "$(wc -l <winners)"
	expect "$(cat winners)" "$(sbx fs cat main:n)"
	expect 2 "$(sbx fs log main -o json | jq length)"
	sbx fs fsck
}

@test "gc beside pushes loses nothing" {
	mkdir in
	for i in $(seq 12); do
		head -c 200000 /dev/urandom >"in/f$i"
		sbx fs gc >/dev/null 2>&1 3>&- &
		sbx fs push in main >/dev/null
		wait
	done
	sbx fs fsck
	sbx fs checkout main out
	diff -r in out
}
