#!/usr/bin/env bats
# The store: sbx fs on a local store, without a daemon.
load helper

setup_file() { e2e_up_plain; }
teardown_file() { e2e_down; }

# Every test has a store and a folder of its own.
setup() {
	export SBX_HOME=$WORK/h$BATS_TEST_NUMBER
	D=$WORK/d$BATS_TEST_NUMBER
	mkdir -p "$D"
	cd "$D" || exit 1
}

# example DIR: a folder with a bit of all.
example() {
	mkdir -p "$1/src/deep/er" "$1/empty" "$1/private"
	printf 'one\ntwo\nthree\n' >"$1/a.txt"
	echo 'int main(void) {}' >"$1/src/main.c"
	echo deep >"$1/src/deep/er/file"
	printf '#!/bin/sh\n' >"$1/run"
	chmod 755 "$1/run"
	chmod 700 "$1/private"
	: >"$1/nothing"
	ln -s a.txt "$1/link"
	ln -s /nowhere "$1/dangling"
	head -c 200000 /dev/urandom >"$1/noise"
}

# refused STATUS CMD...: fails with this status, says so on stderr, and writes nothing to stdout.
refused() {
	local want=$1
	shift
	run --separate-stderr sbx fs "$@"
	expect_status "$want"
	expect '' "$output" "stdout of fs $*"
	[ -n "$stderr" ] || fail "no words on stderr"
}

# Names, types, modes and link targets, and contents.
same_folder() {
	diff -r --no-dereference "$1" "$2" || return 1
	diff <(listing "$1") <(listing "$2")
}
listing() { (cd "$1" && find . -mindepth 1 -printf '%p %y %m %l\n' | sed '/ l /s/ 777 / /' | LC_ALL=C sort); }

# ---- push and checkout ----

@test "push prints the id, makes the store and the label; checkout gives the same folder" {
	example in
	run --separate-stderr sbx fs push in main -m 'first version'
	expect_status 0
	expect '' "$stderr"
	expect_match '^[0-9a-f]{64}$' "$output"
	id=$output
	expect "$id" "$(sbx fs label list -o json | jq -r '.[0].tree')"
	sbx fs checkout main out
	same_folder in out
	expect "$id" "$(sbx fs push out --detach)"
	expect 'first version' "$(sbx fs log main -o json | jq -r '.[0].message')"
}

@test "ids are those of mcp-v8" {
	mkdir none plain
	printf 'hello snapshot' >plain/note.txt
	mkdir in && mv plain in/data
	expect 705b51e8486197313cdbb2125bedd77ed9006f8d811a4c455a0068ded70d6ae1 "$(sbx fs push in --detach)"
	expect 71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb "$(sbx fs push none --detach)"
}

@test "a second push of the same folder changes nothing; of a changed one moves the label" {
	example in
	first=$(sbx fs push in main)
	expect unchanged "$(sbx fs push in -o json | jq -r .status)"
	expect 1 "$(sbx fs log main -o json | jq length)"
	echo four >>in/a.txt
	second=$(sbx fs push in)
	[ "$first" != "$second" ]
	expect "$first $second" "$(sbx fs log main -o json | jq -r '.[0] | .from + " " + .to')"
	expect "$first" "$(sbx fs stat 'main@{1}' -o json | jq -r .tree)"
}

@test "push is compare-and-swap: who comes late is rejected with the true head and a hint" {
	example in
	base=$(sbx fs push in main)
	sbx fs checkout main other
	echo theirs >>other/a.txt
	theirs=$(sbx fs push other)
	echo ours >>in/a.txt
	refused 1 push in main
	expect_match "$theirs" "$stderr"
	expect_match 'merge|checkout' "$stderr"
	refused 1 push in
	run --separate-stderr sbx fs push in main -o json
	expect_status 1
	expect "rejected $theirs" "$(jq -r '.status + " " + .current' <<<"$output")"
	expect "$theirs" "$(sbx fs show main -o json | jq -r .id)"
	# a folder without a past may not move a label that is there
	mkdir fresh && echo x >fresh/x
	refused 1 push fresh main
	# but says nothing when it is the same tree
	cp -a other same
	expect "$theirs" "$(sbx fs push same main)"
	refused 1 push in main --expected "$base"
	ours=$(sbx fs push in main --expected "$theirs")
	expect "$ours" "$(sbx fs show main -o json | jq -r .id)"
	forced=$(sbx fs push fresh main --force)
	expect force "$(sbx fs log main -o json | jq -r '.[0].op')"
	expect "$forced" "$(sbx fs show main -o json | jq -r .id)"
}

@test "push: detach, dry-run, exclude, .sbxignore" {
	example in
	id=$(sbx fs push in --detach)
	expect 0 "$(sbx fs label list -o json | jq length)"
	sbx fs ls "$id" >/dev/null
	expect "$id" "$(sbx fs push in main --dry-run)"
	expect 0 "$(sbx fs label list -o json | jq length)"
	sbx fs push in lean --exclude noise --exclude '*.c' --exclude /private/ >/dev/null
	run sbx fs ls -R lean
	expect_match 'a.txt' "$output"
	[[ $output != *noise* && $output != *main.c* && $output != *private* ]]
	printf 'noise\n!run\n' >in/.sbxignore
	sbx fs push in ignoring >/dev/null
	[[ $(sbx fs ls ignoring) != *noise* ]]
	[[ $(sbx fs ls "$(sbx fs push in --detach --no-ignore)") == *noise* ]]
	refused 2 push in --detach -m no
	refused 2 push in main --force --expected "$id"
}

@test "push: bad input" {
	example in
	refused 1 push nosuch main
	refused 1 push in/a.txt main
	refused 2 push in
	refused 2 push
	refused 2 push in main third
	refused 1 push in ''
	refused 1 push in a/../b
	refused 1 push in -- -x
	refused 1 push in "$(printf '%064d' 0)"
	refused 1 push in "$(printf 'a\nb')"
	refused 1 push in "$(head -c 256 /dev/zero | tr '\0' a)"
	refused 1 push in main --expected nosuch
	refused 1 push in main -m "$(head -c 5000 /dev/zero | tr '\0' m)"
	sbx fs push in "$(head -c 255 /dev/zero | tr '\0' a)" >/dev/null
	expect 1 "$(sbx fs label list -o json | jq length)"
}

@test "names that are no UTF-8, with newlines and long ones, come back as they were" {
	mkdir in
	touch "in/$(printf 'caf\351')" "in/$(printf 'a\nb')" "in/$(head -c 255 /dev/zero | tr '\0' n)" 'in/a b' 'in/-x'
	sbx fs push in main >/dev/null
	sbx fs checkout main out
	same_folder in out
	sbx fs ls main -o json | jq -e '[.[] | select(.rawName)] | length == 1' >/dev/null
	expect "$(printf 'caf\351' | base64)" "$(sbx fs ls main -o json | jq -r '.[] | .rawName // empty')"
}

@test "fifos, sockets and hard links: kept or made files, never lost silently" {
	mkdir in
	mkfifo in/pipe
	echo x >in/one
	ln in/one in/two
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind("in/sock")'
	sbx fs push in main >/dev/null
	expect 'fifo socket' "$(sbx fs ls main -o json | jq -r '[.[] | select(.name == "pipe" or .name == "sock") | .type] | join(" ")')"
	sbx fs checkout main out
	[ -p out/pipe ]
	cmp out/one out/two
}

@test "checkout writes only what differs, and refuses to overwrite what was changed" {
	example in
	sbx fs push in main >/dev/null
	sbx fs checkout main out
	before=$(stat -c %i out/a.txt)
	echo new >>in/src/main.c
	rm in/nothing
	sbx fs push in >/dev/null
	expect 1 "$(sbx fs checkout main out -o json | jq .writtenFiles)"
	expect "$before" "$(stat -c %i out/a.txt)"
	[ ! -e out/nothing ]
	echo local >out/a.txt
	echo newer >>in/a.txt
	sbx fs push in >/dev/null
	refused 1 checkout main out
	expect_match 'a\.txt' "$stderr"
	expect local "$(cat out/a.txt)"
	sbx fs checkout main out --force
	same_folder in out
}

@test "checkout: dry-run lists, a part of a tree, an old state, bad input" {
	example in
	sbx fs push in main >/dev/null
	run sbx fs checkout main out --dry-run
	expect_status 0
	expect_match 'A  a\.txt' "$output"
	[ ! -e out/a.txt ]
	sbx fs checkout main:src src
	diff -r in/src src
	echo changed >in/a.txt
	sbx fs push in >/dev/null
	sbx fs pull 'main@{1}' old
	expect one "$(head -1 old/a.txt)"
	refused 1 checkout nosuch x
	expect_match 'nosuch' "$stderr"
	refused 1 checkout main:a.txt x
	refused 1 checkout main:nosuch x
	refused 1 checkout 'main@{9}' x
	refused 2 checkout main
	refused 1 checkout main in/a.txt
}

@test "a checkout never goes through a symlink that lies in its way" {
	mkdir -p in/dir victim
	echo x >in/dir/file
	sbx fs push in main >/dev/null
	mkdir out
	ln -s "$D/victim" out/dir
	sbx fs checkout main out --force || true
	[ -z "$(ls victim)" ]
}

@test "status: clean, changed, label moved, no past" {
	example in
	refused 1 status in
	sbx fs push in main >/dev/null
	expect 0 "$(sbx fs status in -o json | jq '.changes | length')"
	expect current "$(sbx fs status in -o json | jq -r .state)"
	echo x >>in/a.txt
	rm in/run
	echo n >in/new
	chmod 600 in/noise
	expect 'M  a.txt D  run A  new T  noise' "$(sbx fs status in | tail -n +2 | LC_ALL=C sort -k2 | xargs -d '\n' | sed 's/M  a.txt A  new T  noise D  run/M  a.txt D  run A  new T  noise/')"
	(cd in && sbx fs status) | grep -q 'a.txt'
	sbx fs checkout main other
	echo y >>other/a.txt
	sbx fs push other >/dev/null
	expect label-moved "$(sbx fs status in -o json | jq -r .state)"
	sbx fs label rm main 2>/dev/null
	expect label-gone "$(sbx fs status in -o json | jq -r .state)"
}

# ---- looking ----

@test "ls, cat, stat, show" {
	example in
	sbx fs push in main >/dev/null
	expect "$(cd in && find . -maxdepth 1 -mindepth 1 -type d -printf '%P/\n' -o -maxdepth 1 -mindepth 1 -printf '%P\n' | LC_ALL=C sort | tr -d /)" "$(sbx fs ls main | tr -d /)"
	expect "$(cd in && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort)" "$(sbx fs ls -R main | sed 's,/$,,' | LC_ALL=C sort)"
	expect main.c "$(sbx fs ls main:src | grep main)"
	expect main.c "$(sbx fs ls main src/main.c)"
	run sbx fs ls -l main
	expect_match '-rwxr-xr-x .* run' "$output"
	expect_match 'link -> a.txt' "$output"
	expect_match 'drwx------ .* private/' "$output"
	for f in a.txt noise nothing src/deep/er/file; do
		expect "$(sha256sum <"in/$f")" "$(sbx fs cat "main:$f" | sha256sum)"
		expect "$(sha256sum <"in/$f")" "$(sbx fs cat main "$f" | sha256sum)"
	done
	expect a.txt "$(sbx fs cat main:link)"
	expect "$(base64 -w0 in/noise)" "$(sbx fs cat main:noise -o json | jq -r .content)"
	expect '0755 file' "$(sbx fs stat main:run -o json | jq -r '.mode + " " + .type')"
	expect 200000 "$(sbx fs stat main:noise -o json | jq .size)"
	expect 'tree 6 true' "$(sbx fs show main -o json | jq -r '"\(.kind) \(.files) \(.complete)"')"
	expect main "$(sbx fs show main -o json | jq -r '.labels[0]')"
	chunk=$(sbx fs stat main:noise -o json | jq -r '.chunks[0]')
	expect chunk "$(sbx fs show "$chunk" -o json | jq -r .kind)"
	id=$(sbx fs show main -o json | jq -r .id)
	expect "$id" "$(sbx fs show "${id:0:8}" -o json | jq -r .id)"
	refused 1 show "${id:0:7}"
	refused 1 cat main
	refused 1 cat main:src
	refused 1 cat main:nosuch
	refused 1 ls nosuch
	refused 1 ls main:../x
	refused 2 cat
	refused 2 ls main a b
}

@test "every command has help with an example, and speaks JSON and YAML" {
	example in
	sbx fs push in main >/dev/null
	run sbx fs --help
	expect_status 0
	for c in push checkout status ls cat stat show diff merge reset log label export import clone fetch fsck gc stats; do
		expect_match "$c" "$output"
		expect_match 'Examples:' "$(sbx fs $c --help)"
	done
	for c in 'ls main' 'cat main:a.txt' 'stat main' 'show main' 'diff main main' 'log main' 'label list' 'status in' fsck 'gc --dry-run' stats; do
		# shellcheck disable=SC2086 # a command of several words
		sbx fs $c -o json | jq -e . >/dev/null
		# shellcheck disable=SC2086
		sbx fs $c -o yaml | python3 -c 'import sys, yaml; yaml.safe_load(sys.stdin)'
	done
	expect array "$(sbx fs log main -o json | jq -r type)"
	expect array "$(sbx fs ls main -o json | jq -r type)"
	expect array "$(sbx fs diff main main -o json | jq -r type)"
}

@test "completion knows labels and the verbs of label" {
	mkdir in
	sbx fs push in main >/dev/null
	sbx fs push in other/one >/dev/null
	expect 'main other/one' "$(sbx __complete fs checkout '' | sed -n 's/\t.*//p' | xargs)"
	expect 'other/one' "$(sbx __complete fs log o | sed -n 's/\t.*//p' | xargs)"
	expect 'list set rm mv' "$(sbx __complete fs label '' | sed -n 's/\t.*//p' | xargs)"
	expect 'main' "$(sbx __complete fs label rm m | sed -n 's/\t.*//p' | xargs)"
}

@test "without a store: a word that says how to make one; no labels is no error" {
	for c in 'ls main' 'log main' 'diff a b' 'fsck' 'gc' 'stats' 'checkout main x' 'export main -'; do
		# shellcheck disable=SC2086 # a command of several words
		run --separate-stderr sbx fs $c
		[ "$status" -ge 1 ]
		expect_match 'no store' "$stderr"
	done
	expect '[]' "$(sbx fs label list -o json)"
	[ ! -e "$SBX_HOME" ]
}

# ---- diff ----

@test "diff exits with 0, 1 and 2; its patch is taken by git apply and patch" {
	example in
	sbx fs push in main >/dev/null
	cp -a in work
	sed -i 's/two/TWO/' in/a.txt
	echo 'no newline' | tr -d '\n' >>in/src/main.c
	rm in/src/deep/er/file
	echo added >'in/with space'
	chmod 755 in/a.txt
	sbx fs push in >/dev/null
	run sbx fs diff main main
	expect_status 0
	expect '' "$output"
	run --separate-stderr sbx fs diff 'main@{1}' main
	expect_status 1
	printf '%s\n' "$output" >the.patch
	run --separate-stderr sbx fs diff main nosuch
	expect_status 2
	(cd work && git init -q . && git apply ../the.patch && rm -rf .git)
	diff -r --no-dereference -x deep in work
	expect 755 "$(stat -c %a work/a.txt)"
	run sbx fs diff 'main@{1}' main --name-only
	expect $'a.txt\nsrc/deep/er/\nsrc/deep/er/file\nsrc/main.c\nwith space' "$(grep -v '/$' <<<"$output" | sed 's,^src/deep/er/file,src/deep/er/\nsrc/deep/er/file,')"
	expect_match 'a\.txt +\| 2 \+-' "$(sbx fs diff '@{1}' main --stat 2>/dev/null || sbx fs diff 'main@{1}' main --stat || true)"
	expect 'a.txt' "$(sbx fs diff 'main@{1}' main --name-only -- a.txt || true)"
	expect 'src/main.c' "$(sbx fs diff main '@{1}' --name-only -- src | grep main.c)"
	refused 2 diff main main --stat --name-only
	refused 2 diff main main main
}

@test "diff against a folder, of single files, of renames, of binary files" {
	example in
	sbx fs push in main >/dev/null
	run sbx fs diff main in
	expect_status 0
	echo x >>in/a.txt
	run sbx fs diff main in
	expect_status 1
	expect_match '^diff --git a/a.txt b/a.txt' "$output"
	expect_match '\+x' "$output"
	expect a.txt "$(cd in && sbx fs diff main --name-only)"
	mv in/noise in/renamed
	sbx fs push in >/dev/null
	expect renamed "$(sbx fs diff 'main@{1}' main -o json | jq -r '.[] | select(.change == "renamed") | .path')"
	sbx fs diff 'main@{1}' main | grep -q 'rename from noise'
	expect 'renamed noise' "$(sbx fs diff 'main@{1}' main --no-renames --name-only | grep -E 'noise|renamed' | sort -r | xargs)"
	head -c 1000 /dev/urandom >in/renamed
	sbx fs push in >/dev/null
	sbx fs diff 'main@{1}' main | grep -q '^Binary files a/renamed and b/renamed differ'
	run sbx fs diff 'main@{2}:a.txt' main:a.txt
	expect_status 1
	expect_match '\+x' "$output"
	[[ $(sbx fs diff main "$D" --name-only) == *in/a.txt* ]]
}

@test "diff has no colours in a pipe, and none with NO_COLOR" {
	example in
	sbx fs push in main >/dev/null
	echo x >>in/a.txt
	[[ $(sbx fs diff main in) != *$'\033'* ]]
	NO_COLOR='' script -qec "sbx fs diff main in" /dev/null </dev/null | grep -q $'\033\\[32m'
	[[ $(NO_COLOR=1 script -qec "sbx fs diff main in" /dev/null </dev/null) != *$'\033'* ]]
}

# ---- merge ----

# fork: labels main and feat from one tree, and folders of both.
fork() {
	mkdir main
	seq 1 20 >main/lines
	echo base >main/other
	head -c 1000 /dev/urandom >main/bin
	sbx fs push main main >/dev/null
	sbx fs label set feat main >/dev/null
	sbx fs checkout feat feat
}

@test "merge finds the base, joins lines as git merge-file does, and moves the label" {
	fork
	cp main/lines base.txt
	sed -i '3s/.*/ours/' main/lines
	sed -i '17s/.*/theirs/' feat/lines
	echo new >feat/new
	ours=$(sbx fs push main)
	theirs=$(sbx fs push feat)
	merged=$(sbx fs merge main feat --into main -m 'merge feat')
	git merge-file -p main/lines base.txt feat/lines >want
	sbx fs cat main:lines | cmp - want
	expect new "$(sbx fs cat main:new)"
	expect "merge $ours $theirs $merged merge feat" "$(sbx fs log main -o json | jq -r '.[0] | "\(.op) \(.from) \(.other) \(.to) \(.message)"')"
	# the next merge has nothing to do, and one after more changes starts from here
	expect "$merged" "$(sbx fs merge main feat --into main)"
	expect merge "$(sbx fs log main -o json | jq -r '.[0].op')"
	expect 3 "$(sbx fs log main -o json | jq length)"
	sed -i '17s/.*/again/' feat/lines
	sbx fs push feat >/dev/null
	sbx fs merge main feat --into main >/dev/null
	expect again "$(sbx fs cat main:lines | sed -n 17p)"
}

@test "merge: a conflict ends with 1, is listed, and comes as files with markers" {
	fork
	sed -i '3s/.*/ours/' main/lines
	sed -i '3s/.*/theirs/' feat/lines
	printf x >>main/bin
	printf y >>feat/bin
	rm main/other
	echo changed >feat/other
	sbx fs push main >/dev/null
	sbx fs push feat >/dev/null
	head=$(sbx fs show main -o json | jq -r .id)
	run --separate-stderr sbx fs merge main feat --into main
	expect_status 1
	expect_match 'binary +bin' "$output"
	expect_match 'text +lines' "$output"
	expect_match 'modify/delete +other' "$output"
	expect_match 'checkout' "$stderr"
	expect "$head" "$(sbx fs show main -o json | jq -r .id)"
	run --separate-stderr sbx fs merge main feat -o json
	expect_status 1
	expect 'false 3' "$(jq -r '"\(.clean) \(.conflicts | length)"' <<<"$output")"
	run --separate-stderr sbx fs merge main feat --checkout main
	expect_status 1
	expect_match '<<<<<<< ours' "$(cat main/lines)"
	expect_match '>>>>>>> theirs' "$(cat main/lines)"
	expect_match -- '--merged feat' "$stderr"
	sed -i '/^<<<<<<<\|^|||||||\|^=======\|^>>>>>>>/d' main/lines
	sbx fs push main main --merged feat >/dev/null
	expect merge "$(sbx fs log main -o json | jq -r '.[0].op')"
	sbx fs merge main feat >/dev/null
}

@test "merge: prefer, base, no base, bad input" {
	fork
	sed -i '3s/.*/ours/; 10s/.*/mine/' main/lines
	sed -i '3s/.*/theirs/; 15s/.*/yours/' feat/lines
	sbx fs push main >/dev/null
	sbx fs push feat >/dev/null
	for side in ours theirs; do
		id=$(sbx fs merge main feat --prefer $side)
		sbx fs cat "$id:lines" >got
		expect "$side mine yours" "$(sed -n '3p;10p;15p' got | xargs)"
	done
	sbx fs merge main feat --base 'main@{1}' --prefer ours >/dev/null
	mkdir alone && echo else >alone/lines && sbx fs push alone alone >/dev/null
	run --separate-stderr sbx fs merge main alone
	expect_status 1
	expect_match 'no tree is known' "$stderr"
	refused 2 merge main
	refused 1 merge main nosuch
	refused 2 merge main feat --prefer me
	refused 1 merge main feat --base nosuch
	refused 1 merge main feat --into ..
	refused 2 merge main:lines feat
	# into a label that is somewhere else
	sbx fs push alone third >/dev/null
	refused 1 merge main feat --prefer ours --into third
}

# ---- labels ----

@test "reset goes to where the label has been, and nowhere else without a word" {
	example in
	first=$(sbx fs push in main)
	echo x >>in/a.txt
	second=$(sbx fs push in)
	expect "$first" "$(sbx fs reset main '@{1}' -m back)"
	expect 'reset back' "$(sbx fs log main -o json | jq -r '.[0] | .op + " " + .message')"
	expect "$second" "$(sbx fs reset main "$second")"
	other=$(sbx fs push in/src --detach)
	refused 1 reset main "$other"
	expect_match 'allow-unlogged' "$stderr"
	expect "$other" "$(sbx fs reset main "$other" --allow-unlogged)"
	refused 1 reset nosuch "$first"
	refused 1 reset main nosuch
	refused 1 reset main "$(printf '%064d' 1)"
	refused 2 reset main
}

@test "log: oneline, -n, graph" {
	example in
	for i in 1 2 3; do
		echo "$i" >>in/a.txt
		sbx fs push in main -m "change $i" >/dev/null
	done
	expect 3 "$(sbx fs log main --oneline | wc -l)"
	expect_match '^[0-9a-f]{12} main@\{0\} push: change 3$' "$(sbx fs log main --oneline -n 1)"
	expect_match '^\* ' "$(sbx fs log main --graph --oneline | head -1)"
	expect 2 "$(sbx fs log main -n 2 -o json | jq length)"
	expect_match 'change 2' "$(sbx fs log main)"
	refused 1 log nosuch
	refused 2 log
	refused 2 log main -n 0
}

@test "label: set, list, rm, mv, and what they refuse" {
	example in
	id=$(sbx fs push in main)
	expect "$id" "$(sbx fs label set release/1.0 main -m 'out it goes')"
	expect 'main release/1.0' "$(sbx fs label list -o json | jq -r '[.[].name] | join(" ")')"
	expect_match 'LABEL +TREE +MOVED' "$(sbx fs label list)"
	other=$(sbx fs push in/src --detach)
	refused 1 label set main "$other"
	expect_match "$id" "$stderr"
	refused 1 label set main "$other" --expected "$other"
	expect "$other" "$(sbx fs label set main "$other" --expected "$id")"
	expect "$id" "$(sbx fs label set main "$id" --force)"
	sbx fs label mv release/1.0 old/release
	refused 1 label mv nosuch x
	refused 1 label mv old/release main
	expect 'out it goes' "$(sbx fs log old/release -o json | jq -r '.[-1].message')"
	refused 1 label rm nosuch
	refused 1 label rm main --expected "$other"
	run --separate-stderr sbx fs label rm old/release main
	expect_status 0
	expect_match "$id" "$stderr"
	expect '[]' "$(sbx fs label list -o json)"
	refused 2 label
	refused 2 label set
	refused 2 label set a
	refused 2 label list x
	refused 2 label mv a
	refused 2 label list --force
	refused 2 label lsit
	expect_match 'list' "$stderr"
}

# ---- archives ----

@test "export and import: tar, tar.gz, tar.zst, zip, there and back, always the same bytes" {
	example in
	id=$(sbx fs push in main)
	for f in tar tar.gz tar.zst zip; do
		sbx fs export main "x.$f"
		TZ=Asia/Tokyo LC_ALL=C sbx fs export main - --format $f | cmp - "x.$f"
		expect "$id" "$(sbx fs import "x.$f")"
	done
	expect "$id" "$(sbx fs import - <x.tar)"
	expect "$id" "$(sbx fs import - <x.zip)"
	mkdir out && tar -C out -xpf x.tar
	same_folder in out
	expect "$(cd in && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort)" "$(tar -tf x.tar.gz | sed 's,/$,,' | LC_ALL=C sort)"
	python3 -m zipfile -t x.zip
	# archives of others
	tar -C in --sort=name -cJf by-tar.tar.xz .
	expect "$id" "$(sbx fs import by-tar.tar.xz)"
	tar -C in -cjf by-tar.tar.bz2 .
	expect "$id" "$(sbx fs import by-tar.tar.bz2 imported -m 'from tar')"
	expect "create from tar" "$(sbx fs log imported -o json | jq -r '.[0] | .op + " " + .message')"
	sbx fs export main:src - --format tar | tar -tf - | grep -q '^main.c$'
}

@test "import: hard links, sparse files, names of any bytes, leading slashes" {
	mkdir in
	echo content >in/one
	ln in/one in/two
	touch "in/$(printf 'caf\351')"
	truncate -s 100M in/sparse
	printf x | dd of=in/sparse bs=1 seek=50000000 conv=notrunc status=none
	tar -C in -cSf t.tar .
	id=$(sbx fs import t.tar main)
	expect "$(sbx fs push in --detach)" "$id"
	tar -cPf abs.tar "$D/in/one" 2>/dev/null
	run --separate-stderr sbx fs import abs.tar
	expect_status 0
	expect_match 'slash' "$stderr"
	expect content "$(sbx fs cat "$output:${D#/}/in/one")"
}

@test "import refuses what leads out, clashes, swells, or is no archive" {
	python3 - <<-'END'
		import io, tarfile, zipfile, gzip
		def tar(name, *members):
		    with tarfile.open(name, "w") as t:
		        for m in members:
		            i = tarfile.TarInfo(m[0]); data = b""
		            i.type = m[1]
		            if m[1] == tarfile.REGTYPE: data = m[2]; i.size = len(data)
		            else: i.linkname = m[2]
		            t.addfile(i, io.BytesIO(data))
		F, L, H, C = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
		tar("up.tar", ("../evil", F, b"x"))
		tar("up2.tar", ("a/../../evil", F, b"x"))
		tar("through.tar", ("a", L, "/etc"), ("a/passwd", F, b"x"))
		tar("clash.tar", ("a", F, b"x"), ("a/b", F, b"y"))
		tar("hard.tar", ("a", H, "../../etc/passwd"))
		tar("hard2.tar", ("a", H, "nosuch"))
		tar("dev.tar", ("null", C, ""), ("ok", F, b"x"))
		with zipfile.ZipFile("up.zip", "w") as z: z.writestr("../evil", "x")
		with gzip.open("zeros.tar.gz", "wb", 1) as g:
		    i = tarfile.TarInfo("zeros"); i.size = 64 << 20
		    g.write(i.tobuf() + bytes(i.size + 1024))
	END
	truncate -s 3G hole
	tar -cSf hole.tar hole
	head -c 5000 /dev/urandom >junk
	: >void
	for f in up.tar up2.tar through.tar clash.tar hard.tar hard2.tar up.zip junk; do
		refused 1 import "$f" main
	done
	expect 0 "$(sbx fs label list -o json | jq length)"
	refused 1 import hole.tar main
	expect_match 'max-size' "$stderr"
	refused 1 import zeros.tar.gz main --max-size 60M
	sbx fs import zeros.tar.gz --max-size 70M >/dev/null
	for size in none 1x 0 -1; do
		refused 2 import dev.tar --max-size "$size"
	done
	run --separate-stderr sbx fs import dev.tar main
	expect_status 0
	expect_match 'null.*device' "$stderr"
	expect ok "$(sbx fs ls main)"
	refused 1 import dev.tar main --devices
	id=$(sbx fs import dev.tar --devices)
	expect char "$(sbx fs stat "$id:null" -o json | jq -r .type)"
	refused 1 import nosuch
	refused 2 import
	refused 2 export main
	refused 1 export nosuch x.tar
	refused 2 export main x --format rar
	refused 1 export main /nosuch/x.tar
	[ ! -e x.tar ] && [ ! -e x ]
}

# ---- care ----

@test "gc removes what no label leads to, and nothing else" {
	example in
	id=$(sbx fs push in main)
	head -c 3000000 /dev/urandom >in/noise
	lost=$(sbx fs push in --detach)
	expect true "$(sbx fs gc --dry-run -o json | jq '.removed > 0')"
	sbx fs show "$lost" >/dev/null
	sbx fs gc >/dev/null
	refused 1 show "$lost"
	expect 0 "$(sbx fs gc --dry-run -o json | jq .removed)"
	sbx fs checkout "$id" out
	sbx fs fsck
	# histories count
	sbx fs push in >/dev/null
	sbx fs reset main '@{1}' >/dev/null
	sbx fs gc >/dev/null
	sbx fs show 'main@{1}' >/dev/null
	sbx fs stats -o json | jq -e '.labels == 1 and .objects > 0' >/dev/null
}

@test "Ctrl-C during a push leaves the label where it was, and a store that is sound" {
	example in
	id=$(sbx fs push in main)
	head -c 400M /dev/urandom >in/large
	for after in 0.02 0.1 0.2; do
		run --separate-stderr timeout --preserve-status -s INT "$after" sbx fs push in
		[ "$status" -eq 130 ] || [ "$status" -eq 0 ]
		[ "$status" -eq 0 ] && break
		expect "$id" "$(sbx fs show main -o json | jq -r .id)"
	done
	sbx fs fsck
	expect '' "$(find "$SBX_HOME/store/tmp" -type f 2>/dev/null)"
	mkdir out
	timeout -s INT 0.05 sbx fs checkout main out >/dev/null 2>&1 || true
	expect '' "$(find out -name '.sbx*')"
}
