# What the tests of the life of sandboxes share. Load it after helper.
# shellcheck shell=bash
# shellcheck disable=SC2154 # output and stderr are set by bats' run

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
