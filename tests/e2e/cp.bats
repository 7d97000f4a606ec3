#!/usr/bin/env bats
# sbx cp: files, trees and streams, both ways.
load helper

setup_file() {
	e2e_up
	sbx create --name demo >/dev/null
	make_tree "$WORK/tree"
}
teardown_file() { e2e_down; }

make_tree() {
	mkdir -p "$1"/{sub/deeper,empty,"with space",ünï}
	echo text >"$1/file"
	echo run >"$1/script" && chmod 755 "$1/script"
	echo secret >"$1/secret" && chmod 600 "$1/secret"
	: >"$1/nothing"
	head -c 5000000 /dev/urandom >"$1/sub/big"
	echo deep >"$1/sub/deeper/x"
	echo s >"$1/with space/a b"
	echo u >"$1/ünï/cödé"
	echo d >"$1/-dash"
	echo n >"$1/"$'new\nline'
	ln -s file "$1/link"
	ln -s /nowhere/at/all "$1/dangling"
	ln -s ../file "$1/sub/up"
	ln "$1/file" "$1/hard"
	chmod 700 "$1/sub/deeper"
	chmod 1777 "$1/empty"
	find "$1" -depth -exec touch -h -d '2020-02-03 04:05:06 UTC' {} +
}

# Everything that cp keeps: names, types, modes, times (whole seconds), link targets, sizes, and the hard link.
describe() {
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m %Ts %l ' \( -type f -printf '%s\n' -o -printf '\n' \) | LC_ALL=C sort)
}
same_tree() {
	diff <(describe "$1") <(describe "$2") && diff -r --no-dereference "$1" "$2"
}

@test "a file in and out again" {
	sbx cp "$TOP/Makefile" demo:/tmp/
	sbx cp demo:/tmp/Makefile - | cmp - "$TOP/Makefile"
	sbx cp demo:/tmp/Makefile "$WORK/copy"
	cmp "$WORK/copy" "$TOP/Makefile"
	expect "$(stat -c '%a %Y' "$TOP/Makefile")" "$(stat -c '%a %Y' "$WORK/copy")"
}

@test "a file to a new name, into a folder, over an old one" {
	echo one >"$WORK/f"
	sbx cp "$WORK/f" demo:/tmp/renamed
	expect one "$(sbx exec demo -- cat /tmp/renamed)"
	sbx cp "$WORK/f" demo:/tmp
	expect one "$(sbx exec demo -- cat /tmp/f)"
	echo two >"$WORK/f"
	sbx cp "$WORK/f" demo:/tmp/renamed
	expect two "$(sbx exec demo -- cat /tmp/renamed)"
	mkdir -p "$WORK/into"
	sbx cp demo:/tmp/renamed "$WORK/into"
	expect two "$(cat "$WORK/into/renamed")"
}

@test "streams: - on either side" {
	head -c 2000000 /dev/urandom >"$WORK/stream"
	sbx cp - demo:/tmp/stream <"$WORK/stream"
	expect "$(sha256sum <"$WORK/stream")" "$(sbx cp demo:/tmp/stream - | sha256sum)"
}

@test "a tree there and back keeps modes, links and times" {
	sbx cp "$WORK/tree" demo:/tmp/
	expect 755 "$(sbx exec demo -- stat -c %a /tmp/tree/script)"
	expect file "$(sbx exec demo -- readlink /tmp/tree/link)"
	expect 1580702706 "$(sbx exec demo -- stat -c %Y /tmp/tree/file)"
	expect 2 "$(sbx exec demo -- stat -c %h /tmp/tree/file)"
	mkdir "$WORK/back"
	sbx cp demo:/tmp/tree "$WORK/back"
	same_tree "$WORK/tree" "$WORK/back/tree"
	expect 2 "$(stat -c %h "$WORK/back/tree/hard")"
}

@test "a tree to a new name, both ways" {
	sbx cp "$WORK/tree" demo:/tmp/other
	sbx cp demo:/tmp/other "$WORK/newname"
	same_tree "$WORK/tree" "$WORK/newname"
}

@test "many small files" {
	local i
	mkdir "$WORK/many"
	for i in $(seq 1500); do echo "$i" >"$WORK/many/$i"; done
	sbx cp "$WORK/many" demo:/tmp/
	expect 1500 "$(sbx exec demo -- sh -c 'ls /tmp/many | wc -l')"
	sbx cp demo:/tmp/many "$WORK/many2"
	diff -r "$WORK/many" "$WORK/many2"
}

@test "what is missing is an error that names it, and leaves nothing" {
	run --separate-stderr sbx cp "$WORK/nosuch" demo:/tmp/
	expect_status 1
	expect_match nosuch "$stderr"
	run --separate-stderr sbx cp demo:/nosuch "$WORK/got"
	expect_status 1
	expect_match nosuch "$stderr"
	[ ! -e "$WORK/got" ]
	run --separate-stderr sbx cp "$WORK/f" nosuch:/tmp/
	expect_status 1
	run --separate-stderr sbx cp demo:/nosuch -
	expect_status 1
	expect '' "$output"
}

@test "a name with a colon can be told from a sandbox" {
	echo colon >"$WORK/a:b"
	(cd "$WORK" && sbx cp ./a:b demo:/tmp/)
	expect colon "$(sbx exec demo -- cat /tmp/a:b)"
}

@test "a full disk in the guest is an error, not a cut file" {
	sbx exec demo -- sh -c 'mkdir -p /tmp/small && mount -t tmpfs -o size=1m none /tmp/small' || skip 'no tmpfs in the guest'
	run --separate-stderr sbx cp "$WORK/tree/sub/big" demo:/tmp/small/big
	expect_status 1
	expect_match 'space' "$stderr"
}

@test "no progress in a pipe, nothing on stdout" {
	run --separate-stderr sbx cp "$WORK/tree" demo:/tmp/quiet
	expect_status 0
	expect '' "$output"
	expect '' "$stderr"
}

@test "a guest cannot make devices, nor write through links that it sent before" {
	sbx exec demo -- sh -c 'mkdir -p /tmp/evil && cd /tmp/evil && mknod disk b 8 0 && mknod null c 1 3 && mkfifo fifo && echo ok >fine'
	sbx cp demo:/tmp/evil "$WORK/evil" || true
	expect '' "$(find "$WORK/evil" -type b -o -type c)" devices
	mkdir "$WORK/outside" "$WORK/dest"
	sbx exec demo -- sh -c "mkdir -p /tmp/two && ln -s $WORK/outside /tmp/two/x"
	sbx cp demo:/tmp/two "$WORK/dest"
	sbx exec demo -- sh -c 'rm /tmp/two/x; mkdir /tmp/two/x; echo owned >/tmp/two/x/owned'
	sbx cp demo:/tmp/two "$WORK/dest" || true
	[ ! -e "$WORK/outside/owned" ] || fail 'written through a link'
}

@test "an interrupted download leaves no half file under the final name" {
	sbx exec demo -- sh -c 'head -c 60000000 /dev/zero >/tmp/huge' || skip 'no room in the guest'
	timeout -s INT 0.3 sbx cp demo:/tmp/huge "$WORK/huge" 3>&- || true
	[ ! -e "$WORK/huge" ] || [ "$(stat -c %s "$WORK/huge")" = 60000000 ]
	sbx exec demo -- rm /tmp/huge
}
