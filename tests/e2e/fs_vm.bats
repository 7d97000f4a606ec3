#!/usr/bin/env bats
# Trees of the store in sandboxes: mounted at create, changed there, pushed again. The oracle for a push from a sandbox is a push of
# a folder of this machine in which the same was done: ids of equal trees are equal.
load helper

setup_file() {
	export SBX_CACHE=${SBX_CACHE:-$HOME/.cache/sbx}
	e2e_up
	make_tree "$WORK/tree"
	sbx fs push "$WORK/tree" main -m first >"$WORK/main.id"
}
teardown_file() { e2e_down; }
teardown() { ids | xargs -r sbx rm >/dev/null; }

make_tree() {
	mkdir -p "$1"/{sub/deeper,empty,"with space",ünï,old/a,old/b,swap,private}
	echo text >"$1/file"
	echo run >"$1/script" && chmod 755 "$1/script"
	echo secret >"$1/secret" && chmod 600 "$1/secret"
	: >"$1/nothing"
	head -c 3000000 /dev/urandom >"$1/sub/big"
	echo deep >"$1/sub/deeper/x"
	echo s >"$1/with space/a b"
	echo u >"$1/ünï/cödé"
	echo d >"$1/-dash"
	echo n >"$1/"$'new\nline'
	echo b >"$1/"$'\xff\xfe'
	echo 1 >"$1/old/a/1" && echo 2 >"$1/old/b/2"
	echo s >"$1/swap/in"
	ln -s file "$1/link"
	ln -s /nowhere/at/all "$1/dangling"
	mkfifo -m 640 "$1/pipe"
	cp "$1/script" "$1/setuid" && chmod 4755 "$1/setuid"
	chmod 700 "$1/private"
}

# Everything that a tree keeps.
describe() {
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m %l\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

# What is done in the sandbox and on this machine alike.
changes() {
	cat <<'END'
set -e
echo more >>file
chmod 700 script; chmod 755 private; chmod 711 sub
rm secret; rm -r old/a
mv nothing something; mv "with space" moved
rm -r swap; echo now a file >swap
rm -- -dash; mkdir -- -dash; echo in >./-dash/in
rm link; ln -s sub/big link; ln -s x new-link
rm sub/deeper/x
mkdir -p new/empty new/full; echo f >new/full/f; chmod 600 new/full/f
rm -r empty; mkdir empty; echo again >empty/now
dd if=/dev/urandom of=sub/big bs=1000 seek=1500 count=1 conv=notrunc 2>/dev/null
dd if=/dev/zero of=sparse bs=1 seek=20000000 count=1 2>/dev/null
rm pipe; mkfifo pipe2; chmod 600 pipe2
rm old/b/2; echo 2 >old/b/2
END
}

# The label's tree: head NAME
head_of() { sbx fs label list -o json | jq -r --arg n "$1" '(.labels? // .)[] | select(.name == $n) | .tree'; }

@test "a tree is in the sandbox as it was pushed" {
	sbx create --name a --fs main >/dev/null
	mkdir "$WORK/seen"
	sbx exec a -- tar c -C /work . | tar x -p -C "$WORK/seen"
	diff <(describe "$WORK/tree") <(describe "$WORK/seen")
	expect "$(cat "$WORK/main.id")" "$(field a fs.tree)"
	expect "main /work" "$(field a fs.label) $(field a fs.path)"
}

@test "what was changed is pushed, and nothing else is read" {
	sbx create --name a --fs main >/dev/null
	# random bytes must be the same on both sides
	sbx exec a -- sh -c "cd /work; $(changes)"
	sbx exec a -- cat /work/sub/big >"$WORK/big"
	cp -a "$WORK/tree" "$WORK/here"
	(cd "$WORK/here" && sh -c "$(changes)" && cat "$WORK/big" >sub/big)
	want=$(sbx fs push "$WORK/here" --detach)
	sbx fs push a:/work -m changed -o json >"$WORK/answer"
	expect "pushed main $want $want" "$(jq -r '"\(.outcome) \(.label) \(.tree) \(.head)"' "$WORK/answer")"
	expect "true" "$(jq '.mounted and .files < 20 and .removed > 0' "$WORK/answer")"
	expect "$want" "$(head_of main)"
	expect "$want" "$(field a fs.pushed)"
	sbx fs checkout main "$WORK/out"
	diff <(describe "$WORK/here") <(describe "$WORK/out")
	# again: nothing moves; and on from there
	expect "unchanged" "$(sbx fs push a:/work/ -o json | jq -r .outcome)"
	sbx exec a -- sh -c 'echo again >/work/file; rm -r /work/new'
	(cd "$WORK/here" && echo again >file && rm -r new)
	expect "$(sbx fs push "$WORK/here" --detach)" "$(sbx fs push a:/work main)"
	# a sandbox of the new head has it
	sbx create --name b --fs main:/elsewhere >/dev/null
	expect "again" "$(sbx exec b -- cat /elsewhere/file)"
	refuse sbx exec b -- ls /elsewhere/new
	expect "$(sbx fs push "$WORK/here" --detach)" "$(sbx fs push b:/elsewhere)"
	sbx fs reset main "$(cat "$WORK/main.id")"
}

@test "any reference can be mounted, and a folder of it" {
	sbx fs push "$WORK/tree/sub" refs >/dev/null
	sbx fs push "$WORK/tree/old" refs --force >/dev/null
	sbx create --name a --fs 'refs@{1}:deeper:/x/y/' >/dev/null
	expect "x" "$(sbx exec a -- ls /x/y)"
	expect "/x/y null" "$(field a fs.path) $(field a fs.label)"
	id=$(head_of refs)
	sbx create --name b --fs "${id:0:12}" >/dev/null
	expect "a b" "$(sbx exec b -- ls /work | xargs)"
	# no label is at that tree: it must be named, and then be new
	run --separate-stderr sbx fs push b:/work
	expect_status 1
	expect_match 'no label is given' "$stderr"
	run --separate-stderr sbx fs push b:/work newer
	expect_status 0
	expect "$id" "$(head_of newer)"
}

@test "who comes late is told the head, and can merge" {
	sbx fs push "$WORK/tree" late >/dev/null
	sbx create --name a --fs late >/dev/null
	sbx create --name b --fs late >/dev/null
	expect 1 "$(find "$SBX_CACHE/fs" -name "$(head_of late).erofs" | wc -l)" "images of one tree"
	sbx exec a -- sh -c 'echo from a >/work/a; rm /work/secret; echo 1 >>/work/file'
	sbx exec b -- sh -c 'echo from b >/work/b; chmod 700 /work/script'
	ours=$(sbx fs push a:/work late)
	run --separate-stderr sbx fs push b:/work late
	expect_status 1
	expect_match "$ours" "$stderr"
	expect "$ours" "$(head_of late)"
	merged=$(sbx fs push b:/work late --merge)
	expect "$merged" "$(head_of late)"
	cp -a "$WORK/tree" "$WORK/merged"
	(cd "$WORK/merged" && echo from a >a && rm secret && echo 1 >>file && echo from b >b && chmod 700 script)
	expect "$(sbx fs push "$WORK/merged" --detach)" "$merged"
	# what b pushes next is compared with what it pushed itself: nothing of a's is undone
	sbx exec b -- sh -c 'echo more >/work/b'
	run sbx fs push b:/work late
	expect_status 1
	sbx fs push b:/work late --merge >/dev/null
	echo more >"$WORK/merged/b"
	expect "$(sbx fs push "$WORK/merged" --detach)" "$(head_of late)"
}

@test "a merge with conflicts moves nothing and names a file" {
	sbx fs push "$WORK/tree" clash >/dev/null
	sbx create --name a --fs clash >/dev/null
	sbx create --name b --fs clash >/dev/null
	sbx exec a -- sh -c 'echo ours >/work/file'
	sbx exec b -- sh -c 'echo theirs >/work/file'
	ours=$(sbx fs push a:/work clash)
	run --separate-stderr sbx fs push b:/work clash --merge
	expect_status 1
	expect_match "conflict.*'file'" "$stderr"
	expect "$ours" "$(head_of clash)"
	api /sandboxes/b/fs/push -H 'Content-Type: application/json' -d '{"path": "/work", "label": "clash", "merge": true}' >"$WORK/answer"
	expect "conflict $ours file text" "$(jq -r '"\(.error.code) \(.current) \(.conflicts[0].path) \(.conflicts[0].kind)"' "$WORK/answer")"
	theirs=$(sbx fs push b:/work clash --force)
	expect "$theirs" "$(head_of clash)"
}

@test "where the label is expected to be" {
	sbx create --name a --fs main >/dev/null
	sbx exec a -- sh -c 'echo x >/work/x'
	run --separate-stderr sbx fs push a:/work main --expected "$(printf '%064d' 1)"
	expect_status 1
	expect "$(cat "$WORK/main.id")" "$(head_of main)"
	id=$(sbx fs push a:/work --detach)
	expect "$(cat "$WORK/main.id")" "$(head_of main)"
	expect "$id" "$(sbx fs push a:/work main --expected 'main@{0}')"
	sbx fs reset main "$(cat "$WORK/main.id")"
}

@test "a folder that is no mount is pushed whole" {
	sbx create --name a >/dev/null
	tar c -C "$WORK/tree" . | sbx exec -i a -- sh -c 'mkdir -p /srv/t && tar x -p -C /srv/t'
	sbx fs push a:/srv/t whole -o json >"$WORK/answer"
	expect "created false" "$(jq -r '"\(.outcome) \(.mounted)"' "$WORK/answer")"
	expect "$(cat "$WORK/main.id")" "$(head_of whole)"
	run --separate-stderr sbx fs push a:/srv whole
	expect_status 1
	expect_match 'not where it was expected' "$stderr"
	run --separate-stderr sbx fs push a:/nowhere new
	expect_status 1
	expect_match "no such file or directory: '/nowhere'" "$stderr"
}

@test "exec --fs: a sandbox for one command, whose changes are pushed when it went well" {
	sbx fs push "$WORK/tree" ci >/dev/null
	before=$(head_of ci)
	run sbx exec --fs ci:/src --push -w /src -- sh -c 'echo built >result; exit 3'
	expect_status 3
	expect "$before" "$(head_of ci)"
	expect "done" "$(echo done | sbx exec -i --fs ci:/src --push -e NAME=value -w /src -- sh -c 'cat; echo $NAME >result')"
	refuse test "$before" = "$(head_of ci)"
	expect "value" "$(sbx fs cat ci:result)"
	sbx exec --fs ci --push-to other -- rm -r /work/sub
	refuse sbx fs ls other:sub
	expect "value" "$(sbx fs cat other:result)"
	# nothing changed and the label moved on meanwhile: that is no failure
	sbx run --fs 'ci@{1}' --push -- true
	# somebody else was faster
	run --separate-stderr sbx run --fs 'ci@{1}' --push -- touch /work/late
	expect_status 1
	expect_match 'the command went well, but' "$stderr"
	expect "" "$(ids)"
	expect_consistent
}

@test "10,000 files: mounted at once, and a push reads only what was changed" {
	mkdir "$WORK/many"
	(cd "$WORK/many" && for d in $(seq 100); do
		mkdir "d$d"
		for f in $(seq 100); do echo "file $f of folder $d" >"d$d/f$f"; done
	done)
	sbx fs push "$WORK/many" many >/dev/null
	sbx create --name a --fs many >/dev/null
	image=$SBX_CACHE/fs/$(head_of many).erofs
	[ "$(du -k "$image" | cut -f1)" -lt 4000 ] || fail "the image takes $(du -k "$image")"
	expect 10000 "$(sbx exec a -- sh -c 'find /work -type f | wc -l')"
	expect "file 7 of folder 77" "$(sbx exec a -- cat /work/d77/f7)"
	sbx exec a -- sh -c 'cd /work; for d in 1 2 3; do echo new >d$d/f1; rm d$d/f2; done'
	sbx fs push a:/work -o json >"$WORK/answer"
	expect "3 12 3" "$(jq -r '"\(.files) \(.bytes) \(.removed)"' "$WORK/answer")"
	(cd "$WORK/many" && for d in 1 2 3; do
		echo new >d$d/f1
		rm d$d/f2
	done)
	expect "$(sbx fs push "$WORK/many" --detach)" "$(head_of many)"
}

@test "a file that is written all the time is said; one that was is pushed whole" {
	sbx create --name a --fs main >/dev/null
	# so large that it is not read in one go, and others come to run meanwhile
	sbx exec a -- cp /work/sub/big /work/busy
	sbx exec a -- sh -c 'setsid sh -c "while :; do echo x >>/work/busy; done" >/dev/null 2>&1 </dev/null & echo $! >/tmp/pid'
	run --separate-stderr sbx fs push a:/work busy
	expect_status 1
	expect_match "'busy' is being written all the time" "$stderr"
	sbx exec a -- sh -c 'kill $(cat /tmp/pid)'
	sbx fs push a:/work busy >/dev/null
	sbx exec a -- cat /work/busy | cmp - <(sbx fs cat busy:busy)
}

@test "the tree of a sandbox outlives its label, garbage collection and the daemon" {
	cp -a "$WORK/tree" "$WORK/kept"
	echo only here >"$WORK/kept/only"
	sbx fs push "$WORK/kept" gone >/dev/null
	sbx create --name a --fs gone >/dev/null
	sbx exec a -- sh -c 'rm /work/file'
	sbx fs label rm gone
	kill -9 "$(daemon_pid)"
	sbx ls >/dev/null
	sbx fs gc >/dev/null
	rm "$WORK/kept/file"
	want=$(sbx fs push "$WORK/kept" --detach)
	expect "$want" "$(sbx fs push a:/work back)"
	expect "only here" "$(sbx fs cat back:only)"
	grep -q "$(field a id)" "$SBX_HOME/store/pins"
	sbx rm a
	wait_until 5 refuse grep -q sandbox-fs "$SBX_HOME/store/pins"
}

@test "a create with a tree that there is not leaves nothing" {
	run --separate-stderr sbx create --name a --fs nosuch
	expect_status 1
	expect_match "cannot mount 'nosuch'" "$stderr"
	expect "" "$(ids)"
	run --separate-stderr sbx create --fs main:file
	expect_status 1
	expect_match 'is no folder' "$stderr"
	run --separate-stderr sbx create --fs main:/
	expect_status 1
	expect_consistent
	run sbx exec --push nosuch -- true
	expect_status 2
	run sbx run --push -- true
	expect_status 2
	run sbx fs push main:/work main --dry-run
	expect_status 2
	run sbx fs push "$WORK/tree" main --merge
	expect_status 2
}

@test "a mount outlasts a pause, a stop and the cache; a fork has it too" {
	cp -a "$WORK/tree" "$WORK/on"
	sbx fs push "$WORK/on" on >/dev/null
	sbx create --name a --fs on >/dev/null
	sbx exec a -- sh -c 'echo 1 >/work/one; rm /work/file'
	sbx pause a
	rm -r "$SBX_CACHE/fs"
	sbx resume a
	sbx exec a -- sh -c 'echo 2 >/work/two; cat /work/sub/deeper/x'
	sbx fork a --name b >/dev/null
	sbx exec a -- sh -c 'echo 3 >/work/three'
	sbx exec b -- sh -c 'echo b >/work/three; cat /work/-dash'
	sbx stop a
	sbx start a
	sbx exec a -- sh -c 'cat /work/secret; rm /work/nothing'
	(cd "$WORK/on" && echo 1 >one && rm file && echo 2 >two)
	cp -a "$WORK/on" "$WORK/child"
	(cd "$WORK/on" && echo 3 >three && rm nothing)
	echo b >"$WORK/child/three"
	expect "$(sbx fs push "$WORK/on" --detach)" "$(sbx fs push a:/work on)"
	expect "$(sbx fs push "$WORK/child" --detach)" "$(sbx fs push b:/work child)"
	# each has a pin of its own
	sbx rm a
	sbx fs label rm on
	sbx exec b -- sh -c 'echo again >/work/one'
	echo again >"$WORK/child/one"
	expect "$(sbx fs push "$WORK/child" --detach)" "$(sbx fs push b:/work child)"
	# a snapshot keeps the tree, and what is made from it finds it
	api /sandboxes/b/snapshots -H 'Content-Type: application/json' -d '{"name": "shot"}' >/dev/null
	tree=$(field b fs.tree)
	sbx rm b
	sbx fs label rm child
	kill -9 "$(daemon_pid)"
	sbx ls >/dev/null
	sbx fs gc >/dev/null
	api /sandboxes -H 'Content-Type: application/json' -d '{"name": "c", "snapshot": "shot"}' >/dev/null
	expect "$tree /work" "$(field c fs.tree) $(field c fs.path)"
	sbx exec c -- sh -c 'cat /work/sub/deeper/x; rm /work/script'
	rm "$WORK/child/script"
	expect "$(sbx fs push "$WORK/child" --detach)" "$(sbx fs push c:/work shot)"
	api /snapshots/shot -X DELETE >/dev/null
}
