#!/usr/bin/env bats
# https:// endpoints: a TLS front before a daemon's TCP port, with a CA made here; certificates that must be refused; proxies.
load helper

setup_file() {
	e2e_up
	DAEMON=$(sbx up --listen 127.0.0.1:0)
	sbx create --name demo >/dev/null
	SBX_API_KEY=$(sbx key create --name first | tail -n 1)
	# what a test does through TLS needs the key; on the socket it does no harm
	export SBX_API_KEY DAEMON
	make_certificates
	export SSL_CERT_FILE=$WORK/ca.pem
	GOOD=$(front good tls "$WORK/good.pem" "$WORK/good.key" "${DAEMON##*:}")
	export GOOD URL=https://localhost:$GOOD
}
teardown_file() {
	fronts_end
	e2e_down
}

make_certificates() {
	(
		cd "$WORK" || return
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem
		leaf good DNS:localhost,IP:127.0.0.1 2
		leaf other DNS:other.example 2
		leaf old DNS:localhost -1
	) 2>/dev/null
}

leaf() { # leaf NAME SUBJECT_ALT_NAMES DAYS
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$3" -extfile <(echo "subjectAltName=$2") -out "$1.pem"
}

carriers() { pgrep -x "sbx-(tls|ssh)" | while read -r pid; do grep -qsF -e "$SBX_HOME" "/proc/$pid/environ" && echo "$pid"; done; }
no_carriers() { [ -z "$(carriers)" ]; }

@test "exec, its streams and its code, through TLS 1.3 with SNI and http/1.1" {
	run --separate-stderr sbx --host "$URL" exec demo -- sh -c 'echo out; echo err >&2; exit 3'
	expect_status 3
	expect out "$output"
	expect err "$stderr"
	grep -q '^tls TLSv1.3 http/1.1 localhost$' "$WORK/front.good"
	expect hi "$(sbx --host "https://127.0.0.1:$GOOD" exec demo -- echo hi)"
	grep -q '^tls TLSv1.3 http/1.1 None$' "$WORK/front.good"
	wait_until 3 no_carriers
}

@test "a context remembers it: ls, create, inspect, rm, many calls" {
	printf '%s' "$SBX_API_KEY" | env -u SBX_API_KEY sbx context add tls "$URL" --api-key-file -
	unset SBX_API_KEY
	for _ in {1..10}; do sbx --context tls ls >/dev/null; done
	sbx --context tls create --name far >/dev/null
	expect running "$(sbx --context tls inspect far -o json | jq -r .state)"
	sbx --context tls rm far
	refuse sbx inspect far
	wait_until 3 no_carriers
}

@test "files of 20 MB go both ways unharmed, and stdin and stdout at once" {
	head -c 20000000 /dev/urandom >"$WORK/big"
	sbx --host "$URL" cp "$WORK/big" demo:/tmp/
	sbx --host "$URL" cp demo:/tmp/big - | cmp - "$WORK/big"
	# shellcheck disable=SC2094 # only read
	sbx --host "$URL" exec -i demo -- cat <"$WORK/big" | cmp - "$WORK/big"
	# a reader that is slow at first
	sbx --host "$URL" exec demo -- cat /tmp/big | (sleep 1 && cmp - "$WORK/big")
}

@test "a terminal through TLS" {
	run timeout 30 script -qec "sbx --host $URL pty demo -- sh -c 'stty size; tty'" /dev/null </dev/null
	expect_match '/dev/pts/' "$output"
}

@test "Ctrl-C during an exec ends the remote command and leaves no process" {
	tmux -L "sbx-$$" -f /dev/null new-session -d -s x -x 80 -y 24 "sbx --host $URL exec demo -- sleep 4711; echo code \$? >$WORK/code; sleep 60" 3>&-
	wait_until 15 eval 'sbx exec demo -- ps | grep -q "sleep 4711"'
	[ -n "$(carriers)" ]
	# idle is idle
	expect 0 "$(awk '{ print ($14 + $15 > 20) }' "/proc/$(carriers | head -n 1)/stat")"
	tmux -L "sbx-$$" send-keys -t x C-c
	wait_until 15 test -s "$WORK/code"
	tmux -L "sbx-$$" kill-server
	expect 'code 130' "$(cat "$WORK/code")"
	wait_until 10 eval '! sbx exec demo -- ps | grep -q "sleep 4711"'
	wait_until 3 no_carriers
}

@test "a killed sbx takes its carrier along" {
	command sbx --host "$URL" exec demo -- sleep 4712 3>&- 4>&- &
	local pid=$!
	wait_until 15 eval 'sbx exec demo -- ps | grep -q "sleep 4712"'
	kill -9 "$pid"
	wait_until 5 no_carriers
}

@test "the server's end ends the command" {
	local port
	port=$(front dies tls "$WORK/good.pem" "$WORK/good.key" "${DAEMON##*:}")
	local pid code=0
	sbx --host "https://localhost:$port" exec demo -- sleep 4713 2>"$WORK/err" &
	pid=$!
	wait_until 15 eval 'sbx exec demo -- ps | grep -q "sleep 4713"'
	kill "$(cat "$WORK/pid.dies")"
	rm "$WORK/pid.dies"
	wait "$pid" || code=$?
	[ "$code" -ne 0 ]
	expect_match 'connection' "$(cat "$WORK/err")"
	wait_until 5 no_carriers
}

@test "certificates that cannot be trusted are refused, each with its reason" {
	fails 1 "certificate of 'localhost' is not trusted: certificate has expired" \
		--host "https://localhost:$(front old tls "$WORK/old.pem" "$WORK/old.key" "${DAEMON##*:}")" ls
	local other
	other=$(front other tls "$WORK/other.pem" "$WORK/other.key" "${DAEMON##*:}")
	fails 1 "certificate of 'localhost' is not trusted: hostname mismatch" --host "https://localhost:$other" ls
	expect_match 'another name' "$stderr"
	fails 1 "certificate of '127.0.0.1' is not trusted: IP address mismatch" --host "https://127.0.0.1:$other" ls
	SSL_CERT_FILE='' fails 1 "certificate of 'localhost' is not trusted: unable to get local issuer" --host "$URL" ls
	expect_match 'SSL_CERT_FILE' "$stderr"
	SSL_CERT_FILE=/dev/null fails 1 "is not trusted" --host "$URL" ls
	# a certificate that signed itself is no better for being the right one
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
		-keyout "$WORK/self.key" -out "$WORK/self.pem" 2>/dev/null
	fails 1 "certificate of 'localhost' is not trusted: self-signed certificate" \
		--host "https://localhost:$(front self tls "$WORK/self.pem" "$WORK/self.key" "${DAEMON##*:}")" ls
	refuse grep -q closed "$WORK/front.self" "$WORK/front.other" "$WORK/front.old"
}

@test "a folder of certificates is respected" {
	mkdir "$WORK/certs"
	cp "$WORK/ca.pem" "$WORK/certs/$(openssl x509 -hash -noout -in "$WORK/ca.pem").0"
	SSL_CERT_FILE='' SSL_CERT_DIR=$WORK/certs sbx --host "$URL" ls
}

@test "what does not speak TLS, does not answer or is not there" {
	# the server hangs up on what is no HTTP, after a word or before it has left: which of both arrives is chance
	fails 1 "TLS handshake with '127.0.0.1' failed|'127.0.0.1' closed the connection during the TLS handshake" --host "https://$DAEMON" ls
	expect_match 'http://' "$stderr"
	fails 1 'Connection refused' --host "https://127.0.0.1:$(free_port)" ls
	fails 1 "cannot find host 'nosuch.invalid'" --host https://nosuch.invalid ls
	local port start=$SECONDS
	port=$(front mute mute)
	run timeout -s INT 3 sbx --host "https://127.0.0.1:$port" exec demo -- true
	[ $((SECONDS - start)) -lt 8 ]
	wait_until 5 no_carriers
	# also when the default action of the signal ends sbx
	run timeout -s INT 2 sbx --host "https://127.0.0.1:$port" ls
	wait_until 2 no_carriers
}

@test "a base path stands in front of the paths of calls" {
	local port
	port=$(front base record)
	refuse sbx --host "http://127.0.0.1:$port/a/b/" ls
	grep -qF "GET /a/b/sbx/v1/sandboxes?limit=1000 HTTP/1.1 | Host: 127.0.0.1:$port |" "$WORK/front.base" || fail "$(cat "$WORK/front.base")"
}

@test "a wrong key through TLS says what to do" {
	SBX_API_KEY=wrong fails 1 'key is not valid' --host "$URL" ls
	expect_match 'sbx key create' "$stderr"
}

@test "HTTPS_PROXY: CONNECT, with and without a password, NO_PROXY, and what it refuses" {
	local port secret
	port=$(front proxy proxy)
	HTTPS_PROXY=http://127.0.0.1:$port sbx --host "$URL" exec demo -- true
	grep -q "^CONNECT localhost:$GOOD " "$WORK/front.proxy"
	local before
	before=$(wc -l <"$WORK/front.proxy")
	HTTPS_PROXY=http://127.0.0.1:$port NO_PROXY=example.org,localhost sbx --host "$URL" ls >/dev/null
	expect "$before" "$(wc -l <"$WORK/front.proxy")"
	secret=$(front secret proxy 'me:p@ss')
	https_proxy=http://me:p%40ss@127.0.0.1:$secret sbx --host "$URL" exec demo -- true
	HTTPS_PROXY=127.0.0.1:$secret fails 1 "the proxy '127.0.0.1': it refuses 'localhost': 407" --host "$URL" ls
	HTTPS_PROXY=socks5://127.0.0.1:1 fails 2 'HTTPS_PROXY' --host "$URL" ls
	HTTPS_PROXY=127.0.0.1:1 fails 1 "the proxy '127.0.0.1': .*refused" --host "$URL" ls
	# a plain endpoint and the local socket do not go that way
	HTTPS_PROXY=127.0.0.1:1 sbx ls >/dev/null
	HTTPS_PROXY=127.0.0.1:1 sbx --host "http://$DAEMON" ls >/dev/null
}
