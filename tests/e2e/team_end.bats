#!/usr/bin/env bats
# What is left of a team that is deleted, in the store and among the sandboxes: nothing, also when the daemon dies in the middle of it.
load helper

setup_file() {
	export SBX_PASSWORD_COST=4
	e2e_up
}
teardown_file() { e2e_down; }

wrenn() { # METHOD PATH TOKEN [CURL ARGS...]
	local method=$1 path=$2 token=$3
	shift 3
	curl -sS --max-time 100 --unix-socket "$SBX_HOME/sbxd.sock" -X "$method" -H "Authorization: Bearer $token" "$@" "http://sbx/v1$path" 3>&-
}
new_team() { # NAME: a new account with its team; token and id in T and TEAM
	local answer
	answer=$(wrenn POST /auth/signup '' -d "{\"email\":\"$1@example.org\",\"password\":\"correct horse\",\"name\":\"$1\"}")
	T=$(jq -r .token <<<"$answer") TEAM=$(jq -r .team_id <<<"$answer")
}
capsule() { wrenn POST /capsules "$1" -d "{}" | jq -re .id; } # TOKEN
snapshot() { wrenn POST /snapshots "$1" -d "{\"sandbox_id\":\"$2\",\"name\":\"$3\"}" | jq -re .name; } # TOKEN CAPSULE NAME
snapshots() { { grep -oE ' vm/.*' "$SBX_HOME/store/pins" || true; } | sed -E 's,^ vm/([0-9]+:)?,,' | sort | xargs; } # of all teams
snapshots_are() { [ "$(snapshots)" = "$1" ]; }
ids_are() { [ "$(ids | xargs)" = "$1" ]; }

@test "a team that is deleted takes its snapshots along, and nobody else's" {
	local ann bob team one
	new_team ann
	ann=$T team=$TEAM
	new_team bob
	bob=$T
	sbx create --name mine >/dev/null
	sbx snapshot create mine kept
	one=$(capsule "$ann")
	snapshot "$ann" "$one" same
	snapshot "$ann" "$one" other
	snapshot "$bob" "$(capsule "$bob")" same
	expect 'kept other same same' "$(snapshots)"
	expect 204 "$(wrenn DELETE "/teams/$team" "$ann" -o /dev/null -w '%{http_code}')"
	wait_until 20 snapshots_are 'kept same' || fail "$(snapshots)"
	expect same "$(wrenn GET '/snapshots?type=snapshot' "$bob" | jq -r '.[].name')"
	expect kept "$(sbx snapshot ls -o json | jq -r '.[].name')"
}

@test "one that is being taken while its team is deleted goes, too, at whatever point it is" {
	local one delay
	for delay in 0 0.1 0.15 0.2 0.25 0.3; do
		new_team "cid$delay"
		one=$(capsule "$T")
		# so that it takes its time
		wrenn POST "/capsules/$one/exec" "$T" -d '{"cmd":"dd","args":["if=/dev/urandom","of=/dev/shm/x","bs=1M","count=30"]}' | jq -e '.exit_code == 0' >/dev/null
		snapshot "$T" "$one" late >/dev/null 2>&1 3>&- &
		sleep "$delay"
		expect 204 "$(wrenn DELETE "/teams/$TEAM" "$T" -o /dev/null -w '%{http_code}')"
		wait || true
		gone() { refuse grep -qF "${one##*0000}" <<<"$(ids)"; }
		wait_until 30 gone
		wait_until 20 snapshots_are 'kept same' || fail "after $delay s: $(snapshots)"
	done
}

@test "a daemon that died before it came to them: the next one removes snapshots and sandboxes" {
	local before pid
	before=$(ids | xargs)
	new_team dan
	snapshot "$T" "$(capsule "$T")" lost
	capsule "$T"
	expect 'kept lost same' "$(snapshots)"
	pid=$(daemon_pid)
	kill -9 "$pid"
	wait_until 20 ended "$pid"
	# what a daemon that is killed at once leaves of the deletion
	python3 - "$SBX_HOME/db.sqlite" <<-'PY'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		assert db.execute("UPDATE team SET deleted_ms = 1 WHERE name LIKE 'dan%'").rowcount == 1
		db.commit()
	PY
	sbx ls >/dev/null
	wait_until 20 snapshots_are 'kept same' || fail "$(snapshots)"
	wait_until 20 ids_are "$before" || fail "$(ids)"
}
