#!/usr/bin/env bats
# sbx watch and watchFiles: changes of files in a real microVM. A watch says that it has begun; from there on nothing may be missing.
load helper

setup_file() {
	e2e_up
	sbx create --name w >/dev/null
}
teardown_file() { e2e_down; }

teardown() {
	[ -z "${WATCHING:-}" ] || kill "$WATCHING" 2>/dev/null || true
}

guest() { sbx exec w -- sh -c "$1"; }
has() { grep -qF -- "$1" "$2"; }

# watch ARGS...: in the background, to $WORK/out and err, until it has begun
watch() {
	command sbx watch "$@" >"$WORK/out" 2>"$WORK/err" 3>&- 4>&- &
	WATCHING=$!
	wait_until 10 grep -qE 'watching|"ready"' "$WORK/out" "$WORK/err" || fail "does not begin: $(cat "$WORK/err")"
}

# ended_with STATUS
ended_with() {
	local got=0
	wait "$WATCHING" || got=$?
	WATCHING=
	[ "$got" -eq "$1" ] || fail "ended with $got, not $1: $(cat "$WORK/err")"
}

@test "create, modify, attrib, move and delete come as lines, the rest goes to standard error" {
	guest 'mkdir /root/a'
	watch w a
	guest 'cd a; echo x >f; chmod 600 f; mv f g; rm g; mkdir d; : >d/unseen; mkdir end'
	wait_until 10 has 'create /root/a/end' "$WORK/out"
	expect 'create /root/a/f|modify /root/a/f|attrib /root/a/f|move /root/a/f -> /root/a/g|delete /root/a/g|create /root/a/d|create /root/a/end' \
		"$(paste -sd '|' "$WORK/out")"
	expect "sbx watch: watching '/root/a'" "$(cat "$WORK/err")"
	guest 'rm -r a'
	ended_with 0
	expect 'delete /root/a' "$(tail -n 1 "$WORK/out")"
}

@test "folders below, also new ones, with -r; JSON is an object a line" {
	guest 'mkdir -p /srv/t/old'
	watch -r w /srv/t -o json
	guest 'cd /srv/t; mkdir -p new/deep; echo x >new/deep/f; mv new old/; echo y >>old/new/deep/f; mkdir end'
	wait_until 10 has '/srv/t/end' "$WORK/out"
	expect 'ready:/srv/t create:/srv/t/new create:/srv/t/new/deep create:/srv/t/new/deep/f' \
		"$(jq -r 'select(.event == "ready" or .event == "create") | "\(.event):\(.path)"' "$WORK/out" | head -n 4 | xargs)"
	expect '/srv/t/new /srv/t/old/new' "$(jq -r 'select(.event == "move") | .from, .path' "$WORK/out" | xargs)"
	expect modify "$(jq -r 'select(.path == "/srv/t/old/new/deep/f") | .event' "$WORK/out" | sort -u)"
}

@test "a burst of 1000 files is told whole" {
	guest 'mkdir -p /srv/burst'
	watch -r w /srv/burst -o json
	guest 'cd /srv/burst; mkdir n; seq 1000 | while read i; do : >n/$i; done; mkdir end'
	wait_until 20 has '/srv/burst/end' "$WORK/out"
	expect 0 "$(jq -r 'select(.event == "overflow") | .event' "$WORK/out" | wc -l)" 'overflows'
	expect "$(seq 1000 | sort)" "$(jq -r 'select(.event == "create") | .path' "$WORK/out" | sed -n 's,^/srv/burst/n/,,p' | sort)"
}

@test "one file, through its replacements" {
	guest 'echo 1 >/etc/watched'
	watch w /etc/watched
	guest 'cd /etc; echo 2 >other; mv other watched; : >unrelated; rm watched unrelated'
	wait_until 10 has 'delete /etc/watched' "$WORK/out"
	expect 'move /etc/other -> /etc/watched|delete /etc/watched' "$(paste -sd '|' "$WORK/out")"
}

@test "as another user: what that one may see" {
	guest 'mkdir -p -m 700 /srv/closed'
	run --separate-stderr timeout 20 sbx watch --user nobody w /srv/closed
	expect_status 1
	expect_match 'ermission denied.*/srv/closed' "$stderr"
}

@test "errors: no such path, no such sandbox, wrong usage" {
	run --separate-stderr timeout 20 sbx watch w /no/where
	expect_status 1
	expect '' "$output"
	expect_match '/no/where' "$stderr"
	expect 404 "$(api '/sandboxes/w/watch?path=/no/where' -o /dev/null -w '%{http_code}')"
	run --separate-stderr timeout 20 sbx watch nosuch /
	expect_status 1
	run --separate-stderr timeout 20 sbx watch w
	expect_status 2
}

@test "Ctrl-C ends the watch, in the guest as well" {
	guest 'mkdir -p /srv/c'
	env --default-signal=INT sbx watch w /srv/c >"$WORK/out" 2>"$WORK/err" 3>&- 4>&- &
	WATCHING=$!
	wait_until 10 has watching "$WORK/err"
	# the agent's process for it holds an inotify descriptor
	watchers() { guest 'ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c inotify; true'; }
	expect 1 "$(watchers)" 'before'
	kill -INT "$WATCHING"
	ended_with 130
	gone() { [ "$(watchers)" = 0 ]; }
	wait_until 10 gone || fail "$(watchers) left"
}

@test "a watch wakes what was paused for idleness, and keeps it from being paused" {
	sbx create --name idle --idle 1 >/dev/null
	paused() { [ "$(field idle state)" = paused ]; }
	wait_until 15 paused
	watch idle /tmp
	expect running "$(field idle state)"
	sleep 2.5 # longer than it may be idle
	expect running "$(field idle state)"
	sbx exec idle -- touch /tmp/seen
	wait_until 10 has 'create /tmp/seen' "$WORK/out"
	sbx rm idle
	ended_with 1
}

@test "the end of the sandbox breaks a watch off" {
	sbx create --name short >/dev/null
	watch short /
	sbx rm short
	ended_with 1
	expect_consistent
}
