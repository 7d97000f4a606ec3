#!/usr/bin/env bats
# Logins through another service: a browser (curl with a cookie jar) goes to a service of ours (oauth.py) and back. No VM is needed.
load helper

setup_file() {
	e2e_up_plain
	unset SSL_CERT_FILE
	PORT=$(free_port)
	export PORT BASE=http://127.0.0.1:$PORT
	SERVICE=http://127.0.0.1:$(service plain)
	export SERVICE
	daemon
}

teardown_file() {
	cat "$WORK"/service.*/pid | xargs kill
	e2e_down
}

setup() {
	rm -f "$WORK"/service.*/{who,fault} "$WORK/jar"
	: >"$WORK/service.plain/seen"
}

# service NAME [CERT]: start one, with its folder $WORK/service.NAME; its port.
service() {
	local dir=$WORK/service.$1
	mkdir -p "$dir"
	timeout 380 python3 "$TOP/tests/e2e/oauth.py" the-client 'the secret/+&=' "$dir" "${@:2}" >"$dir/port" 2>"$dir/log" </dev/null 3>&- 4>&- &
	echo $! >"$dir/pid"
	wait_until 10 test -s "$dir/port"
	cat "$dir/port"
}

# daemon [VARIABLE=VALUE...]: (re)start it, set up for the service.
daemon() {
	sbx down --yes >/dev/null 2>&1 || true
	env SBX_GITHUB_CLIENT_ID=the-client SBX_GITHUB_CLIENT_SECRET='the secret/+&=' SBX_GITHUB_URL="$SERVICE/" SBX_GITHUB_API_URL="$SERVICE/api" \
		SBX_PUBLIC_URL="$BASE" SBX_OAUTH_REDIRECT_URL="$SERVICE" "$@" sbx up --listen "127.0.0.1:$PORT" 3>&- 4>&-
}

who() { echo "$1" >"$WORK/service.plain/who"; }
fault() { echo "$1" >"$WORK/service.plain/fault"; }
seen() { jq -r "$1" "$WORK/service.plain/seen"; }

browse() { curl -sS --max-time 20 -b "$WORK/jar" -c "$WORK/jar" "$@" 3>&-; }
# The whole dance; what the front end was told goes to $WORK/told.
dance() { browse -L -o "$WORK/told" -w '%{http_code}' "$BASE/${1:-}auth/oauth/github"; }
told() { jq -r ".$1" "$WORK/told"; }
decoded() { python3 -c 'import sys, urllib.parse as u; print(u.unquote(sys.argv[1]))' "$1"; }
# One step of it: where it leads, with the headers in $WORK/headers.
step() { browse -o /dev/null -D "$WORK/headers" -w '%{redirect_url}' "$@"; }
cookie_of() { grep -i "^set-cookie: $1=" "$WORK/headers" | tr -d '\r'; }
# The front end is told why not: outcome CODE URL [CURL ARGS...]
outcome() { expect "$SERVICE/auth/github/callback?error=$1" "$(step "${@:2}")"; }
# A state that this browser has the cookie of.
begin() { step "$BASE/auth/oauth/github" | sed -n 's/.*[?&]state=\([0-9a-f]*\).*/\1/p'; }

@test "the whole way: somebody new gets an account, a team and a token that works" {
	local path name id
	who ann
	for path in "" v1/; do
		rm -f "$WORK/jar"
		expect 200 "$(dance $path)"
		expect null "$(told query.error)"
		expect ann@example.com "$(told query.email)"
		expect ann%40example.com "$(told cookies.wrenn_oauth_email)"
		expect "Ann Söder" "$(decoded "$(told cookies.wrenn_oauth_name)")"
		for name in token user_id team_id; do expect "$(told query.$name)" "$(told cookies.wrenn_oauth_$name)"; done
		expect null "$(told query.name)"
		expect null "$(told cookies.oauth_state)"
		expect_match '^usr-' "$(told query.user_id)"
		id=${id:-$(told query.user_id)}
		expect "$id" "$(told query.user_id)" "the second time"
	done
	curl -sS "$BASE/v1/teams" -H "Authorization: Bearer $(told query.token)" >"$WORK/teams"
	expect "$(told query.team_id)" "$(jq -r '.[0].id' "$WORK/teams")"
	expect "Ann Söder's Team" "$(jq -r '.[0].name' "$WORK/teams")"
	expect 1 "$(jq length "$WORK/teams")"
}

@test "what the service is sent, and what not" {
	who ann
	expect 200 "$(dance)"
	expect "the-client $BASE/auth/oauth/github/callback user:email" "$(seen 'select(.path | startswith("/login/oauth/authorize")).path' | python3 -c '
import sys, urllib.parse as u
q = dict(u.parse_qsl(u.urlsplit(sys.stdin.read().strip()).query))
print(q["client_id"], q["redirect_uri"], q["scope"])')"
	expect "the secret/+&=" "$(seen 'select(.method == "POST").form.client_secret')"
	expect "application/json" "$(seen 'select(.method == "POST").accept')"
	expect 0 "$(seen 'select(.path == "/api/user/emails").path' | wc -l)" "questions for addresses of one who shows his"
	refuse grep -rlaF -e "the secret" -e gho_ "$SBX_HOME"
	refuse grep -qaF "the secret" "/proc/$(daemon_pid)/cmdline"
}

@test "who has changed his name and address over there is the same here" {
	local id
	who ann
	expect 200 "$(dance)"
	id=$(told query.user_id)
	who ann2
	expect 200 "$(dance)"
	expect "$id" "$(told query.user_id)"
	expect ann@example.com "$(told query.email)"
}

@test "an address that is not shown: the one that is primary and verified, or nobody; a name that is not: the login" {
	who bea
	expect 200 "$(dance)"
	expect bea@example.com "$(told query.email)"
	expect bea-g "$(told cookies.wrenn_oauth_name)"
	rm "$WORK/jar"
	who dora
	expect 200 "$(dance)"
	expect '{"error":"exchange_failed"}' "$(jq -c .query "$WORK/told")"
	expect '{}' "$(jq -c .cookies "$WORK/told")"
}

@test "a name full of syntax is data" {
	who eve
	expect 200 "$(dance)"
	expect "Eve; Path=/Set-Cookie: a=b & ünï" "$(decoded "$(told cookies.wrenn_oauth_name)")"
	expect 5 "$(jq '.cookies | length' "$WORK/told")"
}

@test "an address that has an account here: email_taken, and the account stays as it was" {
	curl -sSf "$BASE/v1/auth/signup" -H 'Content-Type: application/json' \
		-d '{"email": "taken@example.com", "password": "long enough", "name": "First"}' >"$WORK/signup"
	who cem
	expect 200 "$(dance)"
	expect email_taken "$(told query.error)"
	expect '{}' "$(jq -c .cookies "$WORK/told")"
	expect "$(jq -r .user_id "$WORK/signup")" "$(curl -sSf "$BASE/v1/auth/login" -H 'Content-Type: application/json' \
		-d '{"email": "taken@example.com", "password": "long enough"}' | jq -r .user_id)"
}

@test "cookies: what they say of themselves" {
	local back name
	who ann
	back=$(step "$BASE/auth/oauth/github")
	expect_match '^set-cookie: oauth_state=[0-9a-f]{32}:[0-9a-f]{64}; Path=/; HttpOnly; Max-Age=600; SameSite=Lax$' "$(cookie_of oauth_state | sed 's/^[^:]*/set-cookie/')"
	back=$(browse -o /dev/null -w '%{redirect_url}' "$back")
	step "$back"
	expect_match ': oauth_state=; Path=/; HttpOnly; Max-Age=0; SameSite=Lax$' "$(cookie_of oauth_state)"
	for name in token user_id team_id email name; do
		expect_match ': wrenn_oauth_[a-z_]*=[^; ]*; Path=/auth/; Max-Age=60; SameSite=Lax$' "$(cookie_of wrenn_oauth_$name)"
	done
	grep -qi '^cache-control: no-store' "$WORK/headers"
	step "$BASE/auth/oauth/github" -H 'X-Forwarded-Proto: https'
	expect_match '; Secure$' "$(cookie_of oauth_state)"
	step "$BASE/auth/oauth/github/callback" -H 'X-Forwarded-Proto: https'
	expect_match 'Max-Age=0; SameSite=Lax; Secure$' "$(cookie_of oauth_state)"
}

@test "no: access_denied, whatever else is said" {
	local state
	who nobody
	expect 200 "$(dance)"
	expect '{"error":"access_denied"}' "$(jq -c .query "$WORK/told")"
	state=$(begin)
	outcome access_denied "$BASE/auth/oauth/github/callback?error=server_error&code=x&state=$state"
	outcome access_denied "$BASE/auth/oauth/github/callback?error=x"
	expect 0 "$(seen 'select(.method == "POST").path' | wc -l)" "questions to the service"
}

@test "a state that is not the cookie's, a cookie that was not made here, none, or one from another browser: invalid_state" {
	local state other cookie url=$BASE/auth/oauth/github/callback
	state=$(begin)
	cookie=$(cookie_of oauth_state | sed 's/.*oauth_state=\([^;]*\).*/\1/')
	rm "$WORK/jar"
	outcome invalid_state "$url?code=x&state=$state"
	outcome invalid_state "$url?code=x" -H "Cookie: oauth_state=$cookie"
	outcome invalid_state "$url?code=x&state=" -H "Cookie: oauth_state=$cookie"
	outcome invalid_state "$url?code=x&state=${state}0" -H "Cookie: oauth_state=$cookie"
	outcome invalid_state "$url?code=x&state=$state" -H "Cookie: oauth_state=${cookie}0"
	outcome invalid_state "$url?code=x&state=$state" -H "Cookie: oauth_state=$state"
	outcome invalid_state "$url?code=x&state=$state" -H "Cookie: oauth_state=$state:"
	outcome invalid_state "$url?code=x&state=$state" -H "Cookie: xoauth_state=$cookie; oauth_statex=$cookie"
	outcome invalid_state "$url?code=x&state=${state//[0-9]/a}" -H "Cookie: oauth_state=${state//[0-9]/a}:${cookie#*:}"
	outcome invalid_state "$url?code=x&state=$state" -H "Cookie: oauth_state=$state:${cookie:33:63}$(tr '0-9a-f' '1-9a-f0' <<<"${cookie: -1}")"
	other=$(begin)
	outcome invalid_state "$url?code=x&state=$state"
	outcome invalid_state "$url?code=x&state=$other" # the cookie was taken away
	expect 0 "$(seen 'select(.method == "POST").path' | wc -l)"
	# the pair as it was made is fine, among other cookies
	outcome missing_code "$url?state=$state" -H "Cookie: a=b; oauth_state=$cookie; c=d"
	outcome missing_code "$url?state=$state&code=" -H "Cookie: oauth_state=$cookie"
}

@test "a code that is made up, or used twice: exchange_failed" {
	local state back
	state=$(begin)
	outcome exchange_failed "$BASE/auth/oauth/github/callback?state=$state&code=made-up"
	who ann
	back=$(browse -o /dev/null -w '%{redirect_url}' "$(step "$BASE/auth/oauth/github")")
	cp "$WORK/jar" "$WORK/jar.kept"
	expect_match 'callback\?token=' "$(step "$back")"
	cp "$WORK/jar.kept" "$WORK/jar"
	outcome exchange_failed "$back"
}

@test "a service that answers nonsense, too much, half, elsewhere, or that it is broken: exchange_failed" {
	local at what
	who bea
	for at in token user emails; do
		for what in status redirect huge cut '' '[' null '"x"' '{}' '[]' '[[]]' '{"access_token":1,"id":"1"}' '{"access_token":"","id":0}' \
			'{"access_token":"a\r\nX: y","id":1.5}' '{"id":1,"id":2}' '{"id":1,"login":"x","email":"no address"}' '[{"primary":true,"verified":true}]'; do
			fault "$at:$what"
			expect 200 "$(dance)" "$at $what"
			expect exchange_failed "$(told query.error)" "$at $what"
		done
	done
	expect 0 "$(seen 'select(.path == "/stolen").path' | wc -l)"
	rm "$WORK/service.plain/fault"
	expect 200 "$(dance)"
	expect bea@example.com "$(told query.email)"
}

@test "a service that does not answer: ten seconds in all, and nobody else waits; who goes away does no harm" {
	local started=${EPOCHREALTIME/./} pid
	who ann
	fault user:slow
	for _ in 1 2 3; do
		refuse browse --max-time 0.3 "$(browse -o /dev/null -w '%{redirect_url}' "$(step "$BASE/auth/oauth/github")")"
	done
	dance >"$WORK/status" &
	pid=$!
	for _ in 1 2 3 4 5; do
		within 1000 api /version >/dev/null
		sleep 0.2
	done
	wait $pid
	expect 200 "$(cat "$WORK/status")"
	expect exchange_failed "$(told query.error)"
	[ $((${EPOCHREALTIME/./} - started)) -lt 16000000 ]
	rm "$WORK/service.plain/fault"
	expect 200 "$(dance)"
	expect ann@example.com "$(told query.email)"
}

@test "no more than 64 ask at a time" {
	local state url
	asked() { [ "$(wc -l <"$WORK/service.plain/seen")" -ge "$1" ]; }
	who ann
	fault token:slow
	state=$(begin)
	url="$BASE/auth/oauth/github/callback?code=x&state=$state"
	curl -sS --max-time 9 -Z --parallel-immediate --parallel-max 70 -b "$WORK/jar" -o /dev/null "$url&n=[1-64]" 2>/dev/null 3>&- &
	wait_until 8 asked 64
	expect "$SERVICE/auth/github/callback?error=exchange_failed" "$(within 1000 curl -sS -o /dev/null -w '%{redirect_url}' -b "$WORK/jar" "$url" 3>&-)"
	wait
	expect 64 "$(seen .path | wc -l)" "questions to the service"
}

@test "going down in the middle of a login" {
	who ann
	fault user:slow
	dance >"$WORK/status" 2>/dev/null &
	sleep 0.7
	within 8000 sbx down --yes
	wait || true
	daemon
	rm "$WORK/service.plain/fault"
	expect 200 "$(dance)"
	expect ann@example.com "$(told query.email)"
}

@test "a service that is down: exchange_failed" {
	local state
	daemon SBX_GITHUB_URL="http://127.0.0.1:$(free_port)"
	begin >/dev/null
	state=$(begin)
	outcome exchange_failed "$BASE/auth/oauth/github/callback?state=$state&code=x"
	daemon SBX_GITHUB_API_URL="http://127.0.0.1:$(free_port)"
	who ann
	expect 200 "$(dance)"
	expect exchange_failed "$(told query.error)"
}

@test "a wrong secret: exchange_failed" {
	daemon SBX_GITHUB_CLIENT_SECRET=guessed
	who ann
	expect 200 "$(dance)"
	expect exchange_failed "$(told query.error)"
}

@test "TLS: a certificate that nobody vouches for is not talked to; one that is known is" {
	local tls
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$WORK/key" -out "$WORK/cert" -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 2>/dev/null
	cat "$WORK/cert" "$WORK/key" >"$WORK/both"
	tls=https://127.0.0.1:$(service tls "$WORK/both")
	echo ann >"$WORK/service.tls/who"
	daemon SBX_GITHUB_URL="$tls" SBX_GITHUB_API_URL="$tls/api"
	expect 200 "$(browse -k -L -o "$WORK/told" -w '%{http_code}' "$BASE/auth/oauth/github")"
	expect exchange_failed "$(told query.error)"
	refuse grep -q POST "$WORK/service.tls/seen"
	daemon SBX_GITHUB_URL="$tls" SBX_GITHUB_API_URL="$tls/api" SSL_CERT_FILE="$WORK/cert"
	expect 200 "$(browse -k -L -o "$WORK/told" -w '%{http_code}' "$BASE/auth/oauth/github")"
	expect ann@example.com "$(told query.email)"
}

@test "a daemon that knows no service, and a service that none knows: 404 provider_not_found" {
	local path
	daemon
	for path in auth/oauth/gitlab auth/oauth/GitHub auth/oauth/github%2F v1/auth/oauth/google v1/auth/oauth/google/callback?error=x; do
		expect 404 "$(curl -sS -o "$WORK/body" -w '%{http_code}' "$BASE/$path")" "$path"
		expect provider_not_found "$(jq -r .error.code "$WORK/body")" "$path"
	done
	daemon SBX_GITHUB_CLIENT_ID= SBX_GITHUB_CLIENT_SECRET=
	for path in auth/oauth/github v1/auth/oauth/github "auth/oauth/github/callback?code=x&state=y" "v1/auth/oauth/github/callback?error=x"; do
		expect 404 "$(curl -sS -o "$WORK/body" -w '%{http_code}' "$BASE/$path")" "$path"
		expect provider_not_found "$(jq -r .error.code "$WORK/body")" "$path"
	done
}

@test "half a configuration, or a wrong one, is refused at the start" {
	local set
	for set in SBX_GITHUB_CLIENT_ID= SBX_GITHUB_CLIENT_SECRET= SBX_PUBLIC_URL= SBX_PUBLIC_URL=127.0.0.1 SBX_GITHUB_URL=ftp://x "SBX_GITHUB_API_URL=http://x y" \
		SBX_OAUTH_REDIRECT_URL=https://u:p@x/ SBX_OAUTH_REDIRECT_URL=https://x/?a "SBX_OAUTH_REDIRECT_URL=https://x/#a" SBX_GITHUB_URL=http://; do
		run env SBX_GITHUB_CLIENT_ID=x SBX_GITHUB_CLIENT_SECRET=y SBX_PUBLIC_URL=https://x "$set" timeout 10 sbxd --home "$WORK/other" --cache "$WORK/other" 3>&- 4>&-
		expect_status 2
		expect_match "^sbxd: .*SBX_" "$output"
		refuse test -e "$WORK/other"
	done
}
