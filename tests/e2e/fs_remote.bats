#!/usr/bin/env bats
# Two stores: clone, fetch and push over a path, a daemon's socket and HTTP; fs commands on a daemon's store.
load helper

setup_file() {
	e2e_up_plain
	# the other side: a home with a daemon
	export FAR=$SBX_HOME
	sbx up >/dev/null 2>&1
	export REMOTE=unix:$FAR/sbxd.sock
}
teardown_file() {
	export SBX_HOME=$FAR
	e2e_down
}

setup() {
	export SBX_HOME=$WORK/h$BATS_TEST_NUMBER
	D=$WORK/d$BATS_TEST_NUMBER
	L=t$BATS_TEST_NUMBER # labels of this test, as all tests share the far store
	mkdir -p "$D"
	cd "$D" || exit 1
}

example() {
	mkdir -p "$1/src/deep" "$1/empty"
	seq 1 100 >"$1/lines"
	echo deep >"$1/src/deep/file"
	ln -s lines "$1/link"
	head -c 3000000 /dev/urandom >"$1/noise"
}

far() { sbx --host "$REMOTE" fs "$@"; }
tree_of() { sbx fs show "$1" -o json | jq -r .id; }
far_tree() { far label list -o json | jq -r --arg l "$1" '.[] | select(.name == $l) | .tree'; }

@test "push to a daemon, clone from it, fetch what is new" {
	example in
	id=$(sbx fs push in "$L")
	expect "$id" "$(sbx fs push "$L" --remote "$REMOTE")"
	expect "$id" "$(far_tree "$L")"
	# the second time nothing travels
	expect 'unchanged 0' "$(sbx fs push "$L" --remote "$REMOTE" -o json | jq -r '"\(.status) \(.sentObjects)"')"
	export SBX_HOME=$WORK/second
	sbx fs clone "$REMOTE" "$L" >/dev/null
	sbx fs fsck
	sbx fs checkout "$L" out
	diff -r --no-dereference in out
	echo more >>out/lines
	sbx fs push out >/dev/null
	sent=$(sbx fs push "$L" --remote "$REMOTE" -o json)
	expect pushed "$(jq -r .status <<<"$sent")"
	[ "$(jq .sentObjects <<<"$sent")" -le 2 ]
	export SBX_HOME=$WORK/h$BATS_TEST_NUMBER
	expect "origin/$L created" "$(sbx fs fetch "$REMOTE" "$L" -o json | jq -r '.[0] | .label + " " + .status')"
	expect "$id" "$(tree_of "$L")"
	expect "$(far_tree "$L")" "$(tree_of "origin/$L")"
	sbx fs merge "$L" "origin/$L" --into "$L" >/dev/null
	expect "$(far_tree "$L")" "$(tree_of "$L")"
}

@test "a push to a remote that has moved is rejected; after fetch and merge it goes" {
	example in
	sbx fs push in "$L" >/dev/null
	sbx fs push "$L" --remote "$REMOTE" >/dev/null
	far checkout "$L" theirs
	sed -i '90s/.*/theirs/' theirs/lines
	far push theirs >/dev/null
	sed -i '10s/.*/ours/' in/lines
	sbx fs push in >/dev/null
	run --separate-stderr sbx fs push "$L" --remote "$REMOTE"
	expect_status 1
	expect_match "$(far_tree "$L")" "$stderr"
	expect_match 'fetch' "$stderr"
	sbx fs fetch "$REMOTE" "$L" >/dev/null
	sbx fs merge "$L" "origin/$L" --into "$L" >/dev/null
	sbx fs push "$L" --remote "$REMOTE" >/dev/null
	expect 'ours theirs' "$(far cat "$L:lines" | sed -n '10p;90p' | xargs)"
}

@test "stores side by side: clone, fetch and push over paths" {
	example in
	sbx fs push in "$L" >/dev/null
	first=$SBX_HOME
	export SBX_HOME=$WORK/beside
	sbx fs clone "$first" >/dev/null
	expect "$(SBX_HOME=$first tree_of "$L")" "$(tree_of "$L")"
	sbx fs checkout "$L" out
	diff -r --no-dereference in out
	echo x >>out/lines
	sbx fs push out >/dev/null
	sbx fs push "$L" --remote "$first/store" >/dev/null
	expect "$(tree_of "$L")" "$(SBX_HOME=$first tree_of "$L")"
	sbx fs push out fromfolder --remote "$first" >/dev/null
	expect "$(tree_of "$L")" "$(SBX_HOME=$first tree_of fromfolder)"
	# a clone makes new labels only
	echo y >>out/lines
	sbx fs push out >/dev/null
	run --separate-stderr sbx fs clone "$first"
	expect_status 1
	expect_match 'fetch' "$stderr"
	expect rejected "$(sbx fs clone "$first" fromfolder -o json 2>/dev/null | jq -r '.[0].status')"
	# to a store that is not there yet
	sbx fs push "$L" --remote "$D/new" >/dev/null
	expect "$(tree_of "$L")" "$(sbx fs fetch "$D/new" --as new -o json | jq -r '.[0].tree')"
}

@test "over HTTP, with a key" {
	port=$(free_port)
	export SBX_HOME=$WORK/web
	sbx up --listen "127.0.0.1:$port" >/dev/null 2>&1 || skip "this daemon listens nowhere"
	key=$(sbx key create --name t)
	example in
	export SBX_HOME=$WORK/h$BATS_TEST_NUMBER
	sbx fs push in "$L" >/dev/null
	run --separate-stderr sbx fs push "$L" --remote "http://127.0.0.1:$port"
	expect_status 1
	SBX_API_KEY=$key sbx fs push "$L" --remote "http://127.0.0.1:$port" >/dev/null
	export SBX_HOME=$WORK/webclone
	SBX_API_KEY=$key sbx fs clone "http://127.0.0.1:$port/$L" >/dev/null
	sbx fs checkout "$L" out
	diff -r --no-dereference in out
	SBX_HOME=$WORK/web sbx down --yes >/dev/null 2>&1
}

@test "all commands on a daemon's store by --host and by a context" {
	example in
	far push in "$L" -m far >/dev/null
	expect "$(far push in --detach)" "$(far_tree "$L")"
	sbx context add far "$REMOTE"
	export SBX_CONTEXT=far
	expect_match 'noise' "$(sbx fs ls "$L")"
	expect deep "$(sbx fs cat "$L:src/deep/file")"
	expect 100 "$(sbx fs cat "$L" lines | wc -l)"
	expect file "$(sbx fs stat "$L:lines" -o json | jq -r .type)"
	expect far "$(sbx fs log "$L" -o json | jq -r '.[0].message')"
	sbx fs label set "$L/b" "$L" >/dev/null
	sbx fs checkout "$L/b" out
	diff -r --no-dereference in out
	sed -i '50s/.*/b/' out/lines
	sbx fs push out >/dev/null
	sbx fs diff "$L" "$L/b" --name-only || expect 1 $?
	sed -i '5s/.*/a/' in/lines
	sbx fs push in >/dev/null
	sbx fs merge "$L" "$L/b" --into "$L" >/dev/null
	expect 'a b' "$(sbx fs cat "$L:lines" | sed -n '5p;50p' | xargs)"
	sbx fs reset "$L" '@{1}' >/dev/null
	sbx fs export "$L" x.tar
	sbx fs import x.tar "$L/i" >/dev/null
	sbx fs label mv "$L/i" "$L/j"
	sbx fs label rm "$L/j" 2>/dev/null
	sbx fs stats -o json | jq -e .labels >/dev/null
	sbx fs gc --dry-run >/dev/null || true # uploads keep it off for a while
	run --separate-stderr sbx fs ls nosuch
	expect_status 1
	expect_match nosuch "$stderr"
	run --separate-stderr sbx fs push "$D/in/src" "$L"
	expect_status 1
	unset SBX_CONTEXT
	expect far/"$L" "$(sbx fs fetch far "$L" -o json | jq -r '.[0].label')"
}

@test "the local store can be used while its daemon runs" {
	example in
	export SBX_HOME=$FAR
	sbx fs push in "$L" >/dev/null
	expect "$(tree_of "$L")" "$(far_tree "$L")"
	SBX_HOME=$WORK/h$BATS_TEST_NUMBER far log "$L" >/dev/null
	sbx fs fsck
}

@test "a clone that was cut goes on from where it was" {
	mkdir in
	for i in $(seq 60); do head -c 1000000 /dev/urandom >"in/f$i"; done
	export SBX_HOME=$FAR
	sbx fs push in "$L" >/dev/null
	export SBX_HOME=$WORK/h$BATS_TEST_NUMBER
	for after in 0.04 0.06 0.08; do
		timeout -s KILL "$after" sbx fs clone "$REMOTE" "$L" >/dev/null 2>&1 || true
	done
	sbx fs fsck || true
	sbx fs clone "$REMOTE" "$L" >/dev/null
	sbx fs fsck
	sbx fs checkout "$L" out
	diff -r in out
}

@test "remotes that are none" {
	example in
	sbx fs push in "$L" >/dev/null
	for r in nosuch ./nosuch /nosuch/store unix:/nosuch/sock http://127.0.0.1:1 ftp://x; do
		run --separate-stderr sbx fs clone "$r"
		[ "$status" -eq 1 ] || [ "$status" -eq 2 ] || fail "$r: $status"
		expect '' "$output"
		[ -n "$stderr" ]
	done
	run --separate-stderr sbx fs fetch "$REMOTE" nosuch
	expect_status 1
	expect_match nosuch "$stderr"
	run --separate-stderr sbx fs fetch "$REMOTE" --as '../x'
	expect_status 1
	run --separate-stderr far fsck
	expect_status 2
	run --separate-stderr far clone "$SBX_HOME"
	expect_status 2
}
