#!/usr/bin/env bats
# A control plane and two hosts that carry its sandboxes: three daemons on one machine, one of which is killed.
load helper

setup_file() {
	export SBX_PASSWORD_COST=4
	e2e_up
	mkdir -p "$WORK/control"
	sbx down --yes >/dev/null
	start control --home "$SBX_HOME" --listen 127.0.0.1:0 --host-lost 3
	PORT=$(api /system | jq -r '.listeners[0].address // .listeners[0]')
	export PORT
	A=$(announce) B=$(announce --provider spare)
	export A B
	sbx host tag add "$B" spare >/dev/null
	TOKEN=$(sbx host token "$A" 2>/dev/null) host a
	TOKEN=$(sbx host token "$B" 2>/dev/null) host b
	wait_until 10 online "$A"
	wait_until 10 online "$B"
}
teardown_file() {
	local h
	sbx ls -o json | jq -r '.[].id' | xargs -r -n 1 timeout 60 sbx rm >/dev/null 2>&1 3>&- || true
	for h in a b; do at "$h" down --yes >/dev/null 2>&1 || true; done
	e2e_down
}

# ---- the three ----

# start NAME ARGS...: a daemon, when it serves; what it says is in $WORK/NAME.log
start() {
	local name=$1 fifo=$WORK/$1.ready
	shift
	rm -f "$fifo"
	mkfifo "$fifo"
	setsid sbxd "$@" --ready-fd 7 7>"$fifo" >"$WORK/$name.log" 2>&1 </dev/null 3>&- 4>&- &
	echo $! >"$WORK/$name.pid"
	disown
	head -n 1 "$fifo" >"$WORK/$name.said"
	expect ready "$(cat "$WORK/$name.said")" "the first word of $name"
}
announce() { sbx host add "$@" -o json 2>/dev/null | jq -r .host.id; }
host() { SBX_HOST_TOKEN=${TOKEN:-} start "$1" --role host --home "$WORK/$1" --control "http://$PORT" --heartbeat 1; }
again() { start "$1" --role host --home "$WORK/$1" --heartbeat 1; }
at() { # at HOST ARGS...: sbx on that machine itself
	local home=$WORK/$1
	shift
	SBX_HOME=$home sbx "$@"
}
kill_host() {
	kill -9 "$(cat "$WORK/$1.pid")"
	wait_until 5 ended "$(cat "$WORK/$1.pid")"
}
status_of() { sbx host inspect "$1" -o json | jq -r .status; }
online() { [ "$(status_of "$1")" = online ]; }
lost() { [ "$(status_of "$1")" = unreachable ]; }
is() { [ "$(field "$1" state)" = "$2" ]; }
home_of() { field "$1" host; }
works() { [ "$(timeout 10 sbx exec "$1" -- echo works 2>/dev/null)" = works ]; }
gone() { refuse sbx inspect "$1"; }
here_not() { refuse at "$1" inspect "$2"; } # by its id
# What hosts still have to forget.
nothing_left() {
	[ 0 = "$(python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM host_leftover").fetchone()[0])' \
		"$SBX_HOME/db.sqlite")" ]
}

# ---- a sandbox elsewhere ----

@test "the operator's sandboxes stay here, unless he asks for a host or for tags" {
	sbx create --name here >/dev/null
	expect null "$(home_of here)"
	sbx create --name there --on "$A" >/dev/null
	expect "$A" "$(home_of there)"
	sbx create --name tagged --host-tag spare >/dev/null
	expect "$B" "$(home_of tagged)"
	expect true "$(at b inspect "$(field tagged id)" -o json | jq -r '(if type == "array" then .[0] else . end).carried')"
	fails 1 "no host can take the sandbox.*sbx host ls" create --host-tag spare --host-tag fast
	fails 1 "there is no host 'nowhere'" create --on nowhere
	sbx rm here tagged
	expect "[]" "$(at b ls -o json | jq -c .)"
}

@test "commands, terminals, files and metrics go through the control plane" {
	expect 'there 7' "$(sbx exec -i there -- sh -c 'echo "$(hostname) $(wc -c)"' <<<sixsix)"
	run sbx exec there -- sh -c 'exit 5'
	expect_status 5
	expect tty "$(sbx exec -t there -- sh -c 'test -t 0 && echo tty' </dev/null | tr -d '\r')"
	head -c 3000000 /dev/urandom >"$WORK/data"
	sbx cp "$WORK/data" there:/root/data
	expect "$(sha256sum <"$WORK/data")" "$(sbx exec there -- cat /root/data | sha256sum)"
	sbx cp there:/root/data "$WORK/back"
	cmp "$WORK/data" "$WORK/back"
	points() { [ "$(api "/sandboxes/there/metrics?range=5m" | jq '.points | length')" -gt 0 ]; }
	wait_until 10 points
	# what it uses now: asked of the host for as long as somebody looks
	expect true "$(sbx stats there -o json | jq '.privateMemoryKb > 0 and .cpuPercent != null')"
	expect_match 'there .*MiB' "$(sbx stats)"
	# its host keeps out of it
	run --separate-stderr at a exec "$(field there id)" true
	expect_status 1
	expect_match "in the hands of the control plane" "$stderr"
}

@test "pause, resume, stop and start" {
	sbx exec there -- sh -c 'echo kept >/dev/shm/memory; echo kept >/root/disk'
	sbx pause there
	expect paused "$(field there state)"
	expect paused "$(at a inspect "$(field there id)" -o json | jq -r '(if type == "array" then .[0] else . end).state')"
	sbx resume there
	expect kept "$(sbx exec there -- cat /dev/shm/memory)"
	sbx stop there
	expect stopped "$(field there state)"
	sbx start there
	expect kept "$(sbx exec there -- cat /root/disk)"
	refuse sbx exec there -- cat /dev/shm/memory
	fails 1 'another host carries it' fork there
}

@test "a snapshot stays on its host, and what is made from it is placed there" {
	sbx exec there -- sh -c 'echo shot >/dev/shm/memory'
	sbx snapshot create there shot >/dev/null
	expect shot "$(sbx snapshot ls -o json | jq -r '.[].name')"
	fails 1 "there is a snapshot 'shot' already" snapshot create there shot
	sbx create --snapshot shot --name copy >/dev/null
	expect "$A" "$(home_of copy)"
	expect shot "$(sbx exec copy -- cat /dev/shm/memory)"
	fails 1 "host '$B' does not keep the snapshot" create --snapshot shot --on "$B"
	sbx rm copy
	sbx snapshot rm shot
	expect '[]' "$(sbx snapshot ls -o json | jq -c .)"
	wait_until 10 nothing_left
	refuse sbx create --snapshot shot
}

@test "a snapshot of a name is in one place: taken elsewhere, it takes the place of the other" {
	sbx snapshot create there shot >/dev/null
	sbx create --name home >/dev/null
	fails 1 "there is a snapshot 'shot' already" snapshot create home shot
	sbx snapshot create home shot --replace >/dev/null
	expect 1 "$(sbx snapshot ls -o json | jq length)"
	wait_until 10 nothing_left
	sbx create --snapshot shot --name copy >/dev/null
	expect null "$(home_of copy)"
	fails 1 "there is a snapshot 'shot' already" snapshot create there shot # and the other way round
	sbx snapshot create there shot --replace >/dev/null
	expect 1 "$(sbx snapshot ls -o json | jq length)"
	sbx create --snapshot shot --name copy2 >/dev/null
	expect "$A" "$(home_of copy2)"
	sbx rm copy copy2 home
	sbx snapshot rm shot
	expect '[]' "$(sbx snapshot ls -o json | jq -c .)"
}

@test "a team's capsules are spread over the hosts, the least loaded first" {
	local i where
	sbx context add ann "http://$PORT"
	sbx --context ann login --signup --email ann@example.org --name Ann --password-stdin <<<'ann has a password' 2>/dev/null
	for i in 1 2 3; do sbx --context ann create --name "ann$i" >/dev/null; done
	where=$(sbx --context ann ls -o json | jq -r '.[].host' | sort | uniq -c | awk '{print $1}' | xargs)
	# one was on A already: two and two
	expect_match '^(1 2|2 1)$' "$where"
	expect works "$(sbx --context ann exec ann3 -- echo works)"
	sbx --context ann rm ann1 ann2 ann3
}

# ---- a host that is lost ----

@test "a host that is killed: what it carries is missing, the rest goes on; it comes back, and they go on where they were" {
	sbx create --name other --on "$B" >/dev/null
	sbx exec there -- sh -c 'echo before >/dev/shm/memory'
	kill_host a
	fails 1 "is not connected at the moment|the connection to sandbox .* was lost" exec there true
	wait_until 20 lost "$A"
	wait_until 5 is there missing
	expect missing "$(sbx ls -o json | jq -r '.[] | select(.name == "there").state')"
	fails 1 'is missing.*sbx host ls' exec there true
	fails 1 'is missing: its host is not heard of' pause there
	fails 1 "host '$A' is not there" create --on "$A"
	expect works "$(sbx exec other -- echo works)"
	again a
	wait_until 10 is there running
	wait_until 10 works there
	expect before "$(sbx exec there -- cat /dev/shm/memory)"
	online "$A"
}

@test "what was removed while its host was away is removed there when it is back" {
	sbx create --name away --on "$B" >/dev/null
	sbx snapshot create other shot >/dev/null
	kill_host b
	wait_until 20 lost "$B"
	wait_until 5 is away missing
	away=$(field away id)
	sbx rm away
	gone away
	sbx snapshot rm shot
	refuse nothing_left
	again b
	wait_until 10 online "$B"
	wait_until 10 here_not b "$away"
	wait_until 10 works other
	wait_until 10 nothing_left
	sbx snapshot create other shot >/dev/null
	sbx snapshot rm shot
}

@test "a VM that ends while its host is away is stopped when that is back" {
	local pid
	pid=$(at a inspect "$(field there id)" -o json | jq -r '(if type == "array" then .[0] else . end).pid')
	kill_host a
	kill -9 "$pid"
	wait_until 20 lost "$A"
	again a
	wait_until 10 is there stopped
	sbx start there
	works there
}

@test "a control plane that is killed finds its sandboxes again" {
	kill -9 "$(cat "$WORK/control.pid")"
	wait_until 5 ended "$(cat "$WORK/control.pid")"
	start control --home "$SBX_HOME" --listen "$PORT" --host-lost 3
	wait_until 10 works there
	wait_until 10 works other
	wait_until 10 online "$A"
}

@test "a host is one however it is started: by sbx, after a reboot" {
	kill_host a
	at a ls >/dev/null
	wait_until 40 works there
	at a down --keep >/dev/null
	again a
	wait_until 10 works there
}

@test "credentials: the host's own file, never a token in sight; a host that lost them has a new token" {
	expect 600 "$(stat -c %a "$WORK/a/host.json")"
	refuse grep -q "$(jq -r .refresh_token "$WORK/a/host.json")" "$WORK/a.log"
	fails 1 'the host has registered already' host token "$A"
	kill_host a
	jq '.token = "x" | .refresh_token = "'"$(printf '0%.0s' {1..64})"'"' "$WORK/a/host.json" >"$WORK/broken" && mv "$WORK/broken" "$WORK/a/host.json"
	run timeout 20 sbxd --role host --home "$WORK/a" --heartbeat 1
	expect_status 1
	expect_match "refuses this host's credentials" "$output"
	wait_until 20 lost "$A"
	TOKEN=$(sbx host token "$A" 2>/dev/null) host a
	wait_until 10 online "$A"
	wait_until 10 works there
}

@test "nobody else comes in: no certificate, one of another authority, and plain HTTP" {
	local where
	where=$(jq -r .address "$WORK/a/host.json")
	refuse curl -sS --max-time 5 "http://$where/sbx/v1/sandboxes"
	refuse curl -sSk --max-time 5 "https://$where/sbx/v1/sandboxes"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=sbx-control -days 1 \
		-keyout "$WORK/own.key" -out "$WORK/own.pem" 2>/dev/null
	refuse curl -sSk --max-time 5 --cert "$WORK/own.pem" --key "$WORK/own.key" "https://$where/sbx/v1/sandboxes"
	# another host's certificate is good for serving only
	jq -r .cert_pem "$WORK/b/host.json" >"$WORK/b.pem"
	jq -r .key_pem "$WORK/b/host.json" >"$WORK/b.key"
	refuse curl -sSk --max-time 5 --cert "$WORK/b.pem" --key "$WORK/b.key" "https://$where/sbx/v1/sandboxes"
}

@test "wrong words: a role, a control plane and a token that are none" {
	run sbxd --role guest
	expect_status 2
	run sbxd --control "http://$PORT"
	expect_status 2
	expect_match 'add: --role host' "$output"
	run sbxd --role host --home "$WORK/none"
	expect_status 2
	expect_match 'needs --control URL and --token TOKEN.*sbx host add' "$(xargs -d '\n' <<<"$output")"
	run sbxd --role host --home "$WORK/none" --control http://control.example:1 --token x
	expect_status 2
	expect_match 'in the clear' "$output"
	run sbxd --role host --home "$WORK/none" --control "http://$PORT" --token "$(printf '0%.0s' {1..64})"
	expect_status 1
	expect_match 'does not register this host.*sbx host add' "$(xargs -d '\n' <<<"$output")"
}

@test "a host that is removed: what it carries ends, and its daemon goes" {
	sbx create --name parked --on "$B" >/dev/null
	sbx pause parked
	fails 1 '2 sandboxes are on the host.*--force' host rm "$B" --yes
	sbx host rm "$B" --force --yes
	wait_until 10 gone other
	wait_until 10 gone parked
	wait_until 15 ended "$(cat "$WORK/b.pid")"
	expect_match 'does not know this host any more' "$(cat "$WORK/b.log")"
	refuse test -e "$WORK/b/host.json"
	expect '[]' "$(at b ls -o json | jq -c .)"
	works there
	sbx rm there
}
