#!/usr/bin/env bats
# Accounts, teams, hosts, channels and the audit log, as people use them: two of them, in two contexts, at one daemon.
load helper

setup_file() {
	e2e_up
	PORT=$(sbx up --listen 127.0.0.1:0)
	export PORT
	sbx context add ann "http://$PORT"
	sbx context add bob "http://$PORT"
	sbx --context ann login --signup --email Ann@Example.org --name Ann --password-stdin <<<'ann has a password' 2>/dev/null
	sbx --context bob login --signup --email bob@example.org --name Bob --password-stdin <<<'bob has a password' 2>/dev/null
	ANN_TEAM=$(whose ann)
	export ANN_TEAM
}
teardown_file() { e2e_down; }

ann() { sbx --context ann "$@"; }
bob() { sbx --context bob "$@"; }
whose() { sbx --context "$1" whoami -o json | jq -r .team.id; }
role_of() { ann team member ls --team "$1" -o json | jq -r --arg e "$2" '.[] | select(.email == $e) | .role'; }
token_of() { python3 -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["contexts"][sys.argv[2]]["token"])' "$SBX_CONFIG" "$1"; }
tcp() { # tcp PATH [CURL ARGS...]
	local path=$1
	shift
	curl -sS --max-time 20 -H 'Content-Type: application/json' "$@" "http://$PORT/sbx/v1$path" 3>&-
}
# team NAME: of Ann's with Bob as a member; its id
team() {
	local id
	id=$(ann team create "$1")
	ann team member add bob@example.org --team "$id" >/dev/null
	echo "$id"
}

# ---- coming in ----

@test "signup logs in: the token is in the context, in a file for its owner's eyes" {
	expect '{"kind":"user","name":"Ann","email":"ann@example.org","team":"Ann'"'"'s Team","role":"owner","operator":false}' \
		"$(ann whoami -o json | jq -c '{kind, name: .user.name, email: .user.email, team: .team.name, role, operator}')"
	expect_match 'Email: +ann@example.org' "$(ann whoami)"
	expect 600 "$(stat -c %a "$SBX_CONFIG")"
	expect 'http://'"$PORT" "$(sbx context inspect ann -o json | jq -r .endpoint)"
	expect '(set)' "$(sbx context inspect ann -o json | jq -r .login)"
	expect null "$(sbx context inspect default -o json | jq -r .login)"
}

@test "a wrong password, an unknown address and a taken one are refused" {
	fails 1 'invalid email or password.*sbx login --signup' --context bob login --email bob@example.org --password-stdin <<<wrong
	fails 1 'invalid email or password' --context bob login --email nobody@example.org --password-stdin <<<'bob has a password'
	fails 1 'account with this address' --context bob login --signup --email BOB@example.org --name B --password-stdin <<<'another password'
	fails 1 "password" --context bob login --signup --email new@example.org --name N --password-stdin <<<short
	# what was kept is still there
	expect bob@example.org "$(bob whoami -o json | jq -r .user.email)"
}

@test "wrong usage: nobody to ask, what excludes each other, no context to keep it in" {
	fails 2 '--email is missing' login </dev/null
	fails 2 'no terminal to ask for the password' login --email a@example.org </dev/null
	fails 2 'holds no password' login --email a@example.org --password-stdin </dev/null
	fails 2 '--local needs no account' login --local --email a@example.org
	fails 2 '--name belongs to --signup' login --email a@example.org --name A
	fails 2 'leave out --team' login --signup --email a@example.org --name A --team x
	fails 2 '--host names none.*sbx context add' --host "http://$PORT" login --email a@example.org --password-stdin <<<x
	SBX_HOST=http://$PORT fails 2 'SBX_HOST names none' login --email a@example.org --password-stdin <<<x
	SBX_HOST=http://192.0.2.1 fails 1 'password would go to .* in clear text' login --print-token --email a@example.org --password-stdin <<<x
	fails 2 'unknown option .--password' login --password x
}

@test "passwords are asked for on the terminal, and not shown; Ctrl-C leaves it as it was" {
	sbx context add typed "http://$PORT"
	python3 - <<-'END'
		import os, pty, select, sys, termios, time
		def talk(argv, answers):
		    """Type each answer when its question is there. What was shown, the exit code, whether the terminal echoes at the end."""
		    master, slave = pty.openpty()
		    pid = os.fork()
		    if pid == 0:
		        os.setsid()
		        for fd in (0, 1, 2):
		            os.dup2(slave, fd)
		        import fcntl
		        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
		        os.execvp(argv[0], argv)
		    shown, end = b"", time.time() + 30
		    for question, answer in answers + [(None, None)]:
		        at = len(shown)
		        while time.time() < end and (question is None or question not in shown[at:]):
		            if select.select([master], [], [], 0.1)[0]:
		                shown += os.read(master, 1000)
		            elif question is None and os.waitpid(pid, os.WNOHANG)[0]:
		                break
		        if answer:
		            time.sleep(0.1)
		            os.write(master, answer)
		    return shown
		sbx = ["sbx", "--context", "typed", "login"]
		shown = talk([*sbx, "--signup"], [(b"E-mail: ", b"carl@example.org\n"), (b"Name: ", b"Carl\n"),
		                                  (b"Password: ", b"carls passwort\x7f\x7fd\r"), (b"Once more: ", b"carls passwod\r")])
		assert b"you are Carl <carl@example.org>" in shown, shown
		assert b"passwo" not in shown.replace(b"Password: ", b""), shown
		shown = talk([*sbx, "--email", "carl@example.org"], [(b"Password: ", b"carls passwod\r")])
		assert b"you are Carl" in shown, shown
		shown = talk(["sh", "-c", " ".join(sbx) + " --email c@example.org; echo code=$?; stty -a"], [(b"Password: ", b"half\x03")])
		assert b"code=130" in shown and b" echo " in shown and b" icanon " in shown and b"half" not in shown, shown
		shown = talk([*sbx, "--signup", "--email", "d@example.org", "--name", "D"],
		             [(b"Password: ", b"one password\r"), (b"Once more: ", b"another one\r")])
		assert b"two different passwords" in shown, shown
	END
	sbx context rm typed
}

# The token with another last letter.
flip() { case $1 in *A) echo "${1%?}B" ;; *) echo "${1%?}A" ;; esac; }

@test "an expired token, and one that was tampered with: log in again" {
	local token
	token=$(token_of bob)
	sbx context add old "http://$PORT"
	expire() { # the same claims, over an hour ago, signed as the daemon does
		python3 - "$SBX_HOME/secret.key" "$1" <<-'END'
			import base64, hashlib, hmac, json, sys, time
			def b64(b): return base64.urlsafe_b64encode(b).rstrip(b"=")
			key = hmac.digest(open(sys.argv[1], "rb").read(), b"jwt", "sha256")
			head, body, _ = sys.argv[2].split(".")
			claims = json.loads(base64.urlsafe_b64decode(body + "=="))
			claims["exp"] = int(time.time()) - 3600
			text = head.encode() + b"." + b64(json.dumps(claims).encode())
			print((text + b"." + b64(hmac.digest(key, text, "sha256"))).decode())
		END
	}
	local old
	old=$(expire "$token")
	fails 1 'expired.*log in again with: sbx login' --context old --api-key "$old" whoami
	fails 1 'log in again with: sbx login' --context old --api-key "$(flip "$token")" whoami
	fails 1 'log in again with: sbx login' --context old --api-key "${token/./x.}" ls
	expect bob@example.org "$(sbx --context old --api-key "$token" whoami -o json | jq -r .user.email)"
	sbx context rm old
}

@test "logout forgets the token; a key of the context counts again, a login counts before it" {
	ann key create --name kept >"$WORK/key"
	sbx context add both "http://$PORT" --api-key-file "$WORK/key"
	expect key "$(sbx --context both whoami -o json | jq -r .kind)"
	sbx --context both login --email bob@example.org --password-stdin <<<'bob has a password' 2>/dev/null
	expect user "$(sbx --context both whoami -o json | jq -r .kind)"
	sbx --context both logout
	expect key "$(sbx --context both whoami -o json | jq -r .kind)"
	run --separate-stderr sbx --context both logout
	expect_status 0
	expect_match 'holds no login' "$stderr"
	run --separate-stderr sbx --context both login --email bob@example.org --password-stdin <<<'bob has a password'
	SBX_API_KEY=$(cat "$WORK/key") run --separate-stderr sbx --context both team use "Bob's Team"
	expect_status 1 # the key wins, and is no person
	sbx context rm both
	ann key rm kept
}

@test "no token and no password is ever shown" {
	local token out
	token=$(token_of ann)
	out=$(sbx context inspect ann && sbx context inspect ann -o json && sbx context ls -o yaml && sbx --context ann config view &&
		ann whoami -o yaml && ann team ls -o json && cat "$SBX_HOME/log/sbxd.log")
	refuse grep -qF "$token" <<<"$out"
	refuse grep -q 'has a password' <<<"$out"
	refuse grep -qr 'has a password' "$SBX_HOME" "$SBX_CONFIG"
	expect '(set)' "$(sbx --context ann config view -o json | jq -r '.[] | select(.key == "api-key") | .value')"
}

# ---- the operator ----

@test "login --local: the daemon is started, its operator needs nothing; other programs get a token" {
	local home=$WORK/l
	mkdir "$home"
	run --separate-stderr env SBX_HOME="$home" sbx login --local
	expect_status 0
	expect '' "$output"
	expect_match 'operator of the local daemon' "$stderr"
	refuse grep -q '^token' "$SBX_CONFIG"
	expect 'local local true' "$(sbx whoami -o json | jq -r '"\(.kind) \(.team.id) \(.operator)"')"
	local token
	token=$(sbx login --local --print-token)
	expect 'user local true' "$(tcp /account -H "Authorization: Bearer $token" | jq -r '"\(.kind) \(.user.id) \(.operator)"')"
	expect "$(sbx ls -o json)" "$(sbx --host "http://$PORT" --api-key "$token" ls -o json)"
	expect 403 "$(tcp /account/local -X POST -H "Authorization: Bearer $token" -o /dev/null -w '%{http_code}')"
	expect 401 "$(tcp /account/local -X POST -o /dev/null -w '%{http_code}')"
	# kept in a context that leads to this daemon, and in no other
	sbx context add op "http://$PORT"
	sbx --context op login --local 2>/dev/null
	expect true "$(sbx --context op whoami -o json | jq .operator)"
	sbx context rm op
	sbx context add far "http://$(SBX_HOME=$home sbx up --listen 127.0.0.1:0)"
	fails 1 "'far' does not lead to the local daemon.*sbx --context far login" --context far login --local
	fails 1 'log in again with: sbx login' --context far --api-key "$token" whoami
	sbx context rm far
	SBX_HOME=$home sbx down --yes
}

@test "on the local socket, too, one can be somebody else, and the operator again" {
	sbx login --email bob@example.org --password-stdin <<<'bob has a password' 2>/dev/null
	expect bob@example.org "$(sbx whoami -o json | jq -r .user.email)"
	fails 1 'only for the operator.*sbx logout' up
	sbx login --local 2>/dev/null
	expect local "$(sbx whoami -o json | jq -r .kind)"
	sbx up 2>/dev/null
	# a team of the operator's own
	local id
	id=$(sbx team create Ops)
	sbx team use Ops 2>/dev/null
	expect "$id false" "$(sbx whoami -o json | jq -r '"\(.team.id) \(.operator)"')"
	sbx team use local 2>/dev/null
	expect 'local true' "$(sbx whoami -o json | jq -r '"\(.kind) \(.operator)"')"
	fails 1 'local team stays' team rm local --yes
	fails 1 "operator's alone" team member add bob@example.org
	sbx team rm Ops --yes
}

# ---- teams ----

@test "teams: created, listed, used, renamed, named by id, slug and name, and deleted" {
	local id slug
	id=$(ann team create 'Night shift')
	slug=$(ann team inspect "$id" -o json | jq -r .slug)
	expect "$id" "$(ann team inspect "$slug" -o json | jq -r .id)"
	expect "$id" "$(ann team inspect 'Night shift' -o json | jq -r .id)"
	expect "$ANN_TEAM" "$(ann team ls -o json | jq -r '.[] | select(.current) | .id')"
	ann team use "$slug" 2>/dev/null
	expect "$id" "$(whose ann)"
	expect "$id" "$(ann team ls -o json | jq -r '.[] | select(.current) | .id')"
	expect "$id" "$(ann team inspect -o json | jq -r .id)"
	expect_match 'Ann <ann@example.org>, owner' "$(ann team inspect)"
	expect "$id" "$(ann team rename "$id" Day)"
	expect Day "$(ann whoami -o json | jq -r .team.name)"
	fails 1 "must be 1 to 128 letters" --context ann team rename "$id" 'a/b'
	# two of one name: the id decides
	local other
	other=$(ann team create Day)
	fails 1 "2 of your teams are named 'Day'.*its id" --context ann team inspect Day
	fails 1 "no team 'nosuch'.*sbx team ls" --context ann team use nosuch
	fails 1 "no team '$id'" --context bob team inspect "$id"
	fails 1 'cannot ask' --context ann team rm "$other" </dev/null
	ann team rm "$other" --yes
	ann team use "$ANN_TEAM" 2>/dev/null
	ann team rm Day --yes
	fails 1 "no team" --context ann team inspect "$id"
	fails 2 'arguments are missing' team rm
}

@test "roles: members use a team, admins see to it, its owner stays" {
	local id
	id=$(team Roles)
	expect member "$(role_of "$id" bob@example.org)"
	fails 1 'only admins and the owner' --context bob team member add carl@example.org --team "$id"
	fails 1 'only admins and the owner' --context bob team rename "$id" X
	fails 1 'only the owner' --context bob team rm "$id" --yes
	ann team member role bob@example.org admin --team "$id"
	expect admin "$(role_of "$id" bob@example.org)"
	bob team rename "$id" 'By Bob' >/dev/null
	fails 1 "owner's membership" --context bob team member rm ann@example.org --team "$id" --yes
	fails 1 'only the owner' --context bob team rm "$id" --yes
	fails 1 'nobody has an account.*sbx login --signup' --context ann team member add x@example.org --team "$id"
	fails 1 'member already' --context ann team member add bob@example.org --team "$id"
	fails 1 "no member 'x@example.org'" --context ann team member role x@example.org admin --team "$id"
	fails 2 'a role is admin or member' --context ann team member role bob@example.org owner --team "$id"
	fails 1 'cannot leave.*sbx team rm' --context ann team member leave --team "$id" --yes
	bob team member leave --team "$id" --yes
	expect '' "$(role_of "$id" bob@example.org)"
	ann team member add bob@example.org --role admin --team "$id" >/dev/null
	expect admin "$(role_of "$id" bob@example.org)"
	ann team rm "$id" --yes
}

@test "a member sees what is his team's, and when he is taken out, nothing from that moment" {
	local id before
	id=$(team Shared)
	before=$(whose bob)
	sbx create --name mine >/dev/null
	ann team use "$id" 2>/dev/null
	bob team use "$id" 2>/dev/null
	ann create --name ours >/dev/null
	expect ours "$(bob ls -o json | jq -r '(.sandboxes? // .)[].name')"
	expect hello "$(bob exec ours -- echo hello)"
	bob key create --name robot >"$WORK/robot"
	expect ours "$(sbx --host "http://$PORT" --api-key "$(cat "$WORK/robot")" ls -o json | jq -r '(.sandboxes? // .)[].name')"
	expect '' "$(sbx key ls -o json | jq -r '.[] | select(.name == "robot") | .id')"
	ann team member rm bob@example.org --yes
	fails 1 'not valid any more.*log in again with: sbx login' --context bob ls
	fails 1 'log in again' --context bob exec ours -- true
	fails 1 'log in again' --context bob team ls
	bob login --email bob@example.org --password-stdin <<<'bob has a password' 2>/dev/null
	expect "$before" "$(whose bob)"
	fails 1 'no sandbox|not found' --context bob exec ours -- true
	fails 1 "no team" --context bob team use "$id"
	# the operator sees all; the end of the team is the end of its sandboxes and keys
	expect 'mine ours' "$(names | xargs)"
	ann team use "$ANN_TEAM" 2>/dev/null
	ann team rm "$id" --yes
	wait_until 10 only_mine
	fails 1 'not valid' --host "http://$PORT" --api-key "$(cat "$WORK/robot")" ls
	sbx rm mine
}
only_mine() { [ "$(names | xargs)" = mine ]; }

@test "an API key is nobody: who asks with one is told to log in" {
	local key args
	key=$(ann key create --name program)
	for args in 'team ls' 'team create X' 'team use X' 'team inspect X' 'team rename X Y' 'team rm X --yes' 'team member ls --team X' \
		'host ls' 'host add' 'host inspect X' 'host token X' 'host rm X' 'host tag ls X' 'host tag add X y' 'channel ls' \
		'channel add x slack --config a=b' 'channel inspect x' 'channel update x --name y' 'channel config x --config a=b' \
		'channel rm x' 'channel test x' 'channel test slack --config a=b' audit; do
		# shellcheck disable=SC2086 # words
		fails 1 'API key is not enough.*sbx login' --context ann --api-key "$key" $args
	done
	expect 'key program null' "$(sbx --context ann --api-key "$key" whoami -o json | jq -r '"\(.kind) \(.key.name) \(.user)"')"
	expect_match 'Key: +program' "$(sbx --context ann --api-key "$key" whoami)"
	ann key rm program
}

@test "doctor: a team on the operator's socket sees what he sees; over the network it is told whom to ask" {
	acceleration() { jq -r '.[] | select(.check == "acceleration") | "\(.status) \(.detail)"'; }
	run --separate-stderr sbx --api-key "$(token_of ann)" doctor --quick -o json
	expect "$(sbx doctor --quick -o json | acceleration)" "$(acceleration <<<"$output")"
	run --separate-stderr sbx --context ann doctor --quick -o json
	expect 'warn not known: the daemon tells its operator alone' "$(acceleration <<<"$output")"
	expect 0 "$(jq '[.[] | select(.status == "fail")] | length' <<<"$output")"
}

# ---- hosts ----

@test "hosts: announced, listed, tagged, removed; the token goes to standard output alone" {
	run --separate-stderr sbx host add --provider lab --zone here
	expect_status 0
	expect_match '^[0-9a-f]{64}$' "$output"
	local id token
	id=$(sbx host ls -o json | jq -r '.[0].id')
	expect_match "host $id once" "$stderr"
	expect 'regular pending lab here' "$(sbx host inspect "$id" -o json | jq -r '"\(.type) \(.status) \(.provider) \(.zone)"')"
	token=$(sbx host token "$id" 2>/dev/null)
	[ "$token" != "$output" ]
	expect 'gpu' "$(sbx host tag add "$id" gpu)"
	sbx host tag add "$id" a100 >/dev/null
	expect 'a100,gpu' "$(sbx host tag ls "$id" | paste -sd,)"
	expect '["a100","gpu"]' "$(sbx host tag ls "$id" -o json | jq -c .)"
	expect_match 'a100,gpu' "$(sbx host ls)"
	sbx host tag rm "$id" a100 gpu
	expect '' "$(sbx host tag ls "$id")"
	expect '[]' "$(api "/hosts/$id/delete-preview" | jq -c .sandboxes)"
	# others do not see it, and add none of this kind
	expect '[]' "$(ann host ls -o json)"
	fails 1 "no host '$id'.*sbx host ls" --context ann host inspect "$id"
	fails 1 'only the operator' --context ann host add --type regular
	fails 1 'not switched on' --context ann host add
	fails 1 "no host 'nosuch'" host rm nosuch
	fails 2 'takes one of' host add --type other
	sbx host rm --force "$id" </dev/null
	expect '[]' "$(sbx host ls -o json)"
}

# ---- channels ----

@test "channels: made, changed, configured, removed; the secret of a webhook is shown once" {
	local id secret
	secret=$(ann channel add 'My hook' webhook --config url=https://example.org/hook --event host.up 2>/dev/null)
	expect_match '^[0-9a-f]{64}$' "$secret"
	expect 'my-hook webhook host.up' "$(ann channel ls -o json | jq -r '.[0] | "\(.name) \(.provider) \(.events[])"')"
	refuse grep -q "$secret" <<<"$(ann channel inspect my-hook -o json)"
	id=$(printf '# Slack\nwebhook_url=https://hooks.slack.com/x=1\n' | ann channel add ops slack --config-file -)
	expect "$id" "$(ann channel inspect ops -o json | jq -r .id)"
	expect 8 "$(ann channel inspect "$id" -o json | jq '.events | length')"
	expect_match 'ops +slack .* all' "$(ann channel ls)"
	ann channel update ops --name night --event host.down
	expect 'night host.down' "$(ann channel inspect "$id" -o json | jq -r '"\(.name) \(.events[])"')"
	expect '' "$(ann channel config night --config webhook_url=https://hooks.slack.com/y)"
	expect_match '^[0-9a-f]{64}$' "$(ann channel config my-hook --config url=https://example.org/other 2>/dev/null)"
	expect '' "$(ann channel config my-hook --config url=https://example.org/other --config secret=mine 2>/dev/null)"
	expect '[]' "$(bob channel ls -o json)"
	fails 1 "no channel 'night'.*sbx channel ls" --context bob channel inspect night
	fails 1 'already' --context ann channel update night --name my-hook
	fails 1 'url' --context ann channel add x webhook --config secret=s
	fails 1 'provider' --context ann channel add x pigeon --config a=b
	fails 2 'a configuration is missing.*--config-file' --context ann channel add x slack
	fails 2 'line 2: a field is KEY=VALUE' --context ann channel add x slack --config-file - <<<$'a=b\nc'
	fails 2 'nothing is to be changed' --context ann channel update night
	fails 1 'not public' --context ann channel test webhook --config url=https://localhost:1/
	ann channel rm night my-hook
	expect '[]' "$(ann channel ls -o json)"
}

# A receiver of webhooks at $HOOK, which writes down what it gets in $WORK/hook/seen, and a daemon of its own that may deliver there.
hook_up() {
	mkdir -p "$WORK/hook"
	timeout 120 python3 "$TOP/tests/e2e/hook.py" "$WORK/hook" >"$WORK/hook/port" 2>"$WORK/hook/log" </dev/null 3>&- 4>&- &
	echo $! >"$WORK/hook/pid"
	export SBX_HOME=$WORK/hooked
	command sbxd --notify-private >"$WORK/hook/sbxd.log" 2>&1 </dev/null 3>&- 4>&- &
	wait_until 20 test -s "$WORK/hook/port"
	wait_until 20 test -S "$SBX_HOME/sbxd.sock"
	HOOK=http://127.0.0.1:$(cat "$WORK/hook/port")
}
teardown() {
	[ -f "$WORK/hook/pid" ] || return 0
	SBX_HOME=$WORK/hooked sbx down --yes
	kill "$(cat "$WORK/hook/pid")"
	rm -r "$WORK/hook"
}
seen() { jq -r "$1" "$WORK/hook/seen" | tail -n 1; }
# signed_with SECRET: the last one, by the time and the body that it has
signed_with() {
	expect "sha256=$({ seen '.headers["x-wrenn-timestamp"] + "."' && seen .body; } | paste -sd '' | tr -d '\n' |
		openssl dgst -sha256 -hmac "$1" | sed 's/.* //')" "$(seen '.headers["x-wrenn-signature"]')"
}

@test "channels: a test message through one that there is, or as one would send it" {
	local secret id
	hook_up
	secret=$(sbx channel add hook webhook --config "url=$HOOK/one" --event host.up 2>/dev/null)
	run --separate-stderr sbx channel test hook
	expect_status 0
	expect_match 'arrived' "$stderr"
	expect '/one channel.test' "$(seen '"\(.path) \(.body | fromjson | .event)"')"
	signed_with "$secret"
	# by its id, and as it is configured now
	id=$(sbx channel inspect hook -o json | jq -r .id)
	sbx channel config hook --config "url=$HOOK/two" --config secret=mine 2>/dev/null
	expect ok "$(sbx channel test "$id" -o json | jq -r .status)"
	expect /two "$(seen .path)"
	signed_with mine
	# with a configuration there need be none
	expect ok "$(sbx channel test webhook --config "url=$HOOK/three" -o json | jq -r .status)"
	expect /three "$(seen .path)"
	expect hook "$(sbx channel ls -o json | jq -r '.[].name')"
	# one that refuses it is told as that, and nothing is tried again
	sbx channel config hook --config "url=$HOOK/503" --config secret=mine 2>/dev/null
	fails 1 '503' channel test hook
	expect 4 "$(wc -l <"$WORK/hook/seen")"
	fails 1 "no channel 'nosuch'.*sbx channel ls.*--config" channel test nosuch
	sbx channel rm hook
	fails 1 "no channel 'hook'" channel test hook
}

@test "channels: a test message goes through those of one's own team alone" {
	ann channel add theirs webhook --config url=https://localhost:1/ >/dev/null 2>&1
	fails 1 'not public' --context ann channel test theirs
	fails 1 "no channel 'theirs'" --context bob channel test theirs
	ann channel rm theirs
}

# ---- the audit log ----

@test "audit: who did what, by type, action, age and in pages; members see less" {
	local id
	id=$(team Watched)
	bob team use "$id" 2>/dev/null
	bob key create --name k >/dev/null
	ann team member role bob@example.org admin --team "$id"
	expect 'Ann member role_update,Bob api_key create,Ann member add' \
		"$(bob audit -o json | jq -r 'map("\(.actor.name) \(.type) \(.action)") | join(",")')"
	expect_match 'TIME +ACTOR +TYPE' "$(bob audit)"
	expect 'api_key' "$(bob audit --type api_key -o json | jq -r '.[].type')"
	expect 2 "$(bob audit --type api_key --type member --action add,create -o json | jq length)"
	expect 3 "$(bob audit --since 1h -o json | jq length)"
	sleep 1.2
	expect 0 "$(bob audit --since 1 -o json | jq length)"
	expect 2 "$(bob audit --limit 2 -o json | jq length)"
	# pages, each where the one before ended
	local cursor='' page n=0
	page=$(tcp '/audit?limit=1' -H "Authorization: Bearer $(token_of bob)")
	while cursor=$(jq -r '.nextCursor // empty' <<<"$page") && [ -n "$cursor" ]; do
		n=$((n + 1))
		page=$(tcp "/audit?limit=1&cursor=$cursor" -H "Authorization: Bearer $(token_of bob)")
	done
	expect 2 "$n"
	expect add "$(jq -r '.notes[0].action' <<<"$page")"
	local at
	at=$(jq -r '.notes[0].createdAt' <<<"$page")
	expect 0 "$(tcp "/audit?before=$at" -H "Authorization: Bearer $(token_of bob)" | jq '.notes | length')"
	ann team member role bob@example.org member --team "$id"
	expect api_key "$(bob audit -o json | jq -r '.[].type')"
	# what others do is theirs
	expect '' "$(ann audit -o json | jq -r '.[] | select(.actor.name == "Bob") | .type')"
	fails 1 'cursor' api GET '/sbx/v1/audit?cursor=nosuch'
	fails 2 'takes a time' audit --since yesterday
	bob login --email bob@example.org --password-stdin <<<'bob has a password' 2>/dev/null
	ann team rm "$id" --yes
}
