#!/usr/bin/env bats
# sbx stats, streamStats and getSandboxMetrics: what sandboxes use. The oracle is /proc, du and the work that was done.
load helper

setup_file() {
	e2e_up
	export TMUX_TMPDIR=$WORK TERM=xterm-256color
	unset TMUX
	sbx create --name calm >/dev/null
	sbx create --name busy --net >/dev/null
}
teardown_file() { e2e_down; }
teardown() { tmux -L stats kill-server 2>/dev/null || true; }

row() { sbx stats "$1" -o json; }
points() { api "/sandboxes/$1/metrics?range=${2:-5m}"; }
# has_points NAME N
has_points() { [ "$(points "$1" | jq '.points | length')" -ge "$2" ]; }

@test "one table where there is no terminal, a row for each that runs" {
	run --separate-stderr sbx stats
	expect_status 0
	expect '' "$stderr"
	expect_match '^NAME +CPU +MEMORY +RESIDENT +DISK' "${lines[0]}"
	expect 3 "${#lines[@]}" 'lines'
	expect 'busy calm' "$(tail -n 2 <<<"$output" | cut -d' ' -f1 | sort | xargs)"
	expect 'busy calm' "$(sbx stats --sort name | tail -n 2 | cut -d' ' -f1 | xargs)"
	expect 'calm' "$(sbx stats calm | tail -n 1 | cut -d' ' -f1)"
}

@test "JSON is an object a line; memory and disk are what /proc and du say" {
	local pid private resident dir
	expect 'busy calm' "$(sbx stats -o json | jq -r .name | sort | xargs)"
	pid=$(vm_pid calm)
	private=$(awk '/^RssAnon/ {print $2}' "/proc/$pid/status")
	resident=$(awk '/^VmRSS/ {print $2}' "/proc/$pid/status")
	dir=$SBX_HOME/vms/$(field calm id)
	row calm | jq -e --argjson p "$private" --argjson r "$resident" --argjson d "$(du -k "$dir/disk.qcow2" | cut -f1)" \
		'def near($x): . > $x * 0.8 - 1024 and . < $x * 1.2 + 1024;
		(.privateMemoryKb | near($p)) and (.residentMemoryKb | near($r)) and (.diskKb | near($d)) and .cpuPercent >= 0' ||
		fail "private $private, resident $resident: $(row calm)"
	expect running "$(sbx stats calm -o yaml | sed -n 's/^state: //p')"
}

@test "work shows: processor, disk, and the network where root may look" {
	sbx exec busy -- sh -c 'timeout 3 sh -c "while :; do :; done"; dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null; sync' || true
	points busy | jq -e '[.points[].cpuPercent] | max > 20' || fail "$(points busy)"
	grown() { points busy | jq -e '.points | last.diskKb - first.diskKb > 8000' >/dev/null; }
	wait_until 10 grown || fail "$(points busy)"
	if [ "$(id -u)" = 0 ]; then
		# one packet to the gateway, and its answer
		sbx exec busy -- ping -c 1 -s 1000 10.0.2.2 >/dev/null 2>&1 || true
		sent() { points busy | jq -e '[.points[].sentBytesPerSecond] | max > 1000' >/dev/null; }
		wait_until 10 sent || fail "$(points busy)"
	fi
	points calm | jq -e '[.points[].sentBytesPerSecond] | all(. == null)' || fail 'traffic without a network'
}

@test "history: half a second apart, in every range, oldest first; a table with its course" {
	wait_until 15 has_points calm 8
	points calm | jq -e '.intervalMs == 500 and (.points | length >= 8 and . == sort_by(.time))' || fail "$(points calm)"
	for range in 10m 1h 2h 6h 12h 24h; do
		points calm $range | jq -e --arg r $range '.range == $r and (.points | length > 0)' || fail "$range: $(points calm $range)"
	done
	expect 400 "$(api '/sandboxes/calm/metrics?range=3h' -o /dev/null -w '%{http_code}')"
	run --separate-stderr sbx stats calm --range 2h
	expect_status 0
	expect_match 'LEAST +MEAN +MOST +LAST +COURSE' "${lines[0]}"
	expect_match '^MEMORY .*iB' "${lines[2]}"
	expect 2h "$(sbx stats calm --range 2h -o json | jq -r .range)"
}

@test "points of a sandbox that stopped stay, and it is null in rows; sampling ends with the last" {
	sbx create --name dying >/dev/null
	wait_until 15 has_points dying 2
	kill -9 "$(vm_pid dying)"
	stopped() { [ "$(field dying state)" = stopped ]; }
	wait_until 10 stopped
	has_points dying 2
	row dying | jq -e '.state == "stopped" and .cpuPercent == null' || fail "$(row dying)"
	refuse grep -q dying <<<"$(sbx stats)"
	expect_match 'dying +stopped' "$(sbx stats dying)"
	sbx rm dying
}

@test "a pause takes the points along, and sampling goes on after it, in another process" {
	local before
	sbx create --name nap >/dev/null
	wait_until 15 has_points nap 4
	sbx pause nap
	before=$(points nap | jq -c '.points')
	expect null "$(row nap | jq .cpuPercent)" 'cpu of a paused one'
	expect_match 'nap +paused' "$(sbx stats nap)"
	expect "$before" "$(points nap | jq -c '.points')" 'points while paused'
	sbx resume nap
	more() { points nap | jq -e --argjson b "$before" '(.points | length > ($b | length) + 1) and .points[:($b | length)] == $b' >/dev/null; }
	wait_until 15 more || fail "$(points nap)"
	points nap | jq -e '[.points[].cpuPercent] | all(. >= 0)'
	sbx rm nap
}

# What Wrenn says of a sandbox, as the operator is told.
capsule_points() { curl -sS --max-time 20 --unix-socket "$SBX_HOME/sbxd.sock" "http://sbx/v1/capsules/cl-$(printf '%25s' "$1" | tr ' ' 0)/metrics?range=2h"; }
all_points() { # NAME ID: at every resolution, in both languages
	for range in 10m 2h 24h; do points "$1" $range | jq -c .points; done
	capsule_points "$2" | jq -c .points
}
new_daemon() { # SIGNAL: end this one, start another
	local pid
	pid=$(daemon_pid)
	kill "-$1" "$pid"
	wait_until 20 ended "$pid"
	sbx ls >/dev/null
}

@test "points outlive the daemon: a paused one's a kill, all of them an orderly end" {
	local id before running
	sbx create --name kept >/dev/null
	id=$(field kept id)
	wait_until 15 has_points kept 4
	sbx pause kept
	before=$(all_points kept "$id")
	expect 4 "$(jq -s 'map(select(length > 0)) | length' <<<"$before")" 'answers with points'
	new_daemon KILL
	expect paused "$(field kept state)"
	expect "$before" "$(all_points kept "$id")" 'after a kill'
	new_daemon TERM
	expect "$before" "$(all_points kept "$id")" 'after an orderly end'
	sbx resume kept
	before=$(points kept | jq '.points | length')
	wait_until 15 has_points kept $((before + 3))
	running=$(points kept | jq -c .points)
	new_daemon TERM
	points kept | jq -e --argjson b "$running" '.points[:($b | length)] == $b' || fail "$(points kept)"
	wait_until 15 has_points kept $(($(jq length <<<"$running") + 2))
}

@test "a damaged file of points is warned of and ignored" {
	local file
	sbx pause kept
	file=$SBX_HOME/vms/$(field kept id)/metrics
	for damage in 'truncate -s 1000' 'truncate -s 0' 'cp /etc/passwd' 'truncate -s 100M'; do
		$damage "$file"
		new_daemon KILL
		expect '[]' "$(points kept | jq -c .points)" "points after $damage"
		grep -q "metrics' is ignored" "$SBX_HOME/log/sbxd.log" || fail "no warning after $damage"
		: >"$SBX_HOME/log/sbxd.log"
	done
	sbx resume kept
	wait_until 15 has_points kept 2
	sbx rm kept
}

@test "a daemon that starts anew samples what it adopts" {
	kill -9 "$(daemon_pid)"
	sbx ls >/dev/null
	wait_until 15 has_points calm 2
	row calm | jq -e '.cpuPercent >= 0'
}

@test "--follow goes on; it ends with the sandboxes that were asked for" {
	sbx create --name brief >/dev/null
	command sbx stats -f brief -o json >"$WORK/follow" 2>"$WORK/err" 3>&- 4>&- &
	local pid=$! got=0
	three() { [ "$(wc -l <"$WORK/follow")" -ge 3 ]; }
	wait_until 15 three
	sbx rm brief
	wait "$pid" || got=$?
	expect 0 "$got"
	expect_match 'removed' "$(cat "$WORK/err")"
	expect brief "$(jq -r .name "$WORK/follow" | sort -u)"
}

screen() { tmux -L stats capture-pane -p; }
shows() { grep -qE "$1" <<<"$(screen)"; }
type_key() { tmux -L stats send-keys "$1"; }

@test "live on a terminal: rewritten in place, sorted by a key, q ends it and leaves the terminal as it was" {
	tmux -L stats -f /dev/null new-session -d -x 100 -y 12 "bash --norc --noprofile" 3>&- 4>&-
	type_key "PS1='> '; clear; sbx stats; echo code=\$?"
	type_key Enter
	wait_until 15 shows '^calm'
	sbx create --name added >/dev/null
	wait_until 15 shows '^added'
	expect 1 "$(grep -c '^NAME' <<<"$(screen)")" 'headers'
	type_key n
	sorted() { [ "$(screen | grep -E '^(added|busy|calm)' | cut -d' ' -f1 | xargs)" = 'added busy calm' ]; }
	wait_until 10 sorted || fail "$(screen)"
	sbx rm added
	gone() { ! shows '^added'; }
	wait_until 15 gone || fail "$(screen)"
	tmux -L stats resize-window -x 40
	narrow() { shows '^NAME' && ! shows 'READ'; }
	wait_until 10 narrow || fail "$(screen)"
	type_key q
	wait_until 10 shows 'code=0'
	type_key "sbx stats calm; echo code=\$?"
	type_key Enter
	again() { [ "$(grep -c '^NAME' <<<"$(screen)")" -ge 2 ]; }
	wait_until 15 again || fail "$(screen)"
	type_key C-c
	wait_until 10 shows 'code=130'
	type_key "stty -a | grep -o ' icanon'"
	type_key Enter
	wait_until 10 shows '^ icanon' || fail "$(screen)"
}

@test "wrong usage and unknown sandboxes" {
	run --separate-stderr sbx stats --range 2h
	expect_status 2
	run --separate-stderr sbx stats -f --no-stream
	expect_status 2
	run --separate-stderr sbx stats --range 3h calm
	expect_status 2
	run --separate-stderr sbx stats calm nosuch
	expect_status 1
	expect_match "nosuch" "$stderr"
	expect 404 "$(api '/stats?sandboxes=calm,nosuch' -o /dev/null -w '%{http_code}')"
}
