#!/usr/bin/env bats
# Ports of this machine that lead into a sandbox, and the proxy by host name. All but one of these sandboxes have no network.
load helper

setup_file() {
	e2e_up
	sbx create --name web >/dev/null
	# An HTTP server, an echo, something that counts what it gets, a WebSocket that says hello and echoes, one that sends much.
	head -c 104857600 /dev/urandom >"$WORK/big"
	sbx exec web -- mkdir /www
	sbx cp "$WORK/big" web:/www/
	sbx exec -i web -- sh -c 'cat >/root/ws.sh' <<-'SH'
		while read -r line; do
			line=${line%?}
			case $line in "Sec-WebSocket-Key: "*) key=${line#*: } ;; "") break ;; esac
		done
		sum=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | sha1sum | cut -d" " -f1 | sed 's/../\\x&/g')
		accept=$(printf "$sum" | base64)
		printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n' "$accept"
		printf '\201\005hello'
		exec cat
	SH
	sbx exec web -- sh -c '
		echo "echo ready; exec cat" >/root/ready.sh
		echo from-the-guest >/www/index.html
		cd / && exec </dev/null >/dev/null 2>&1
		httpd -f -p 127.0.0.1:80 -h /www &
		nc -ll -p 81 -e cat &
		nc -ll -p 82 -e sha256sum &
		nc -ll -p 83 -e sh /root/ws.sh &
		nc -ll -p 84 -e cat /www/big &
		nc -ll -p 85 -e sh /root/ready.sh &'
	wait_until 10 listens web 80 81 82 83 84 85
	P=$(free_port)
	export P
	sbx port add web "$P:80" >/dev/null
}
teardown_file() { e2e_down; }

# listens SANDBOX PORT...: there are servers on all of them.
listens() { # shellcheck disable=SC2016 # the guest's shell
	sbx exec "$1" -- sh -c 'for p; do netstat -ltn | grep -q ":$p " || exit 1; done' sh "${@:2}"
}
tcp() { timeout 240 python3 "$TOP/tests/e2e/tcp.py" "$@" 3>&- 4>&-; }
port_state() { sbx port ls web -o json | jq -r ".[] | select(.hostPort == $1).state"; }
state_is() { [ "$(field "$1" state)" = "$2" ]; }
add() { sbx port add web "0:$1"; }
url_get() { curl -sS --max-time 20 "$@" 3>&-; }

@test "port add prints the address; HTTP goes through, without any network in the sandbox" {
	expect none "$(field web net)"
	expect from-the-guest "$(url_get "http://127.0.0.1:$P/")"
	run -0 sbx port ls web
	expect_match "127.0.0.1:$P +80 +open" "$output"
	expect "127.0.0.1:$P" "$(sbx inspect web -o json | jq -r '.ports[0].address')"
}

@test "100 MB arrive whole, down and up, with the end of each direction by itself" {
	url_get "http://127.0.0.1:$P/big" | cmp - "$WORK/big"
	# sha256sum says nothing before it has seen the end
	expect "$(sha256sum <"$WORK/big")" "$(tcp "$(add 82)" put "$WORK/big")"
}

@test "a client that reads slowly costs the daemon no memory, and gets it all" {
	local address rss
	address=$(add 84)
	tcp "$address" slow 3000000 >"$WORK/slow" &
	local pid=$!
	wait_until 20 sh -c "sbx port ls web -o json | jq -e '.[] | select(.address == \"$address\") | .connections == 1' >/dev/null 2>&1 3>&-"
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$(daemon_pid)/status")
	[ "$rss" -lt 100000 ] || fail "the daemon has $rss KiB"
	wait "$pid"
	expect 104857600 "$(cat "$WORK/slow")"
}

@test "half close: the answer comes after our end" {
	local address
	address=$(add 81)
	expect 'said and echoed' "$(tcp "$address" half 'said and echoed')"
	sbx port rm web "${address##*:}"
}

@test "fifty connections at once do not mix" {
	expect 50 "$(tcp "$(add 85)" many 50)"
}

@test "nobody listens inside: reset at once, and the next connection is served" {
	local address
	address=$(add 9)
	run tcp "$address" hold
	expect_match reset "$output"
	expect from-the-guest "$(url_get "http://127.0.0.1:$P/")"
}

@test "port rm closes it and cuts its connections" {
	local address
	address=$(add 81)
	tcp "$address" hold >"$WORK/hold" &
	local pid=$!
	wait_until 10 grep -q held "$WORK/hold"
	wait_until 10 sh -c "sbx port ls web -o json | jq -e '.[] | select(.address == \"$address\") | .connections == 1' >/dev/null 3>&-"
	sbx port rm web "${address##*:}"
	wait "$pid"
	expect_match reset "$(cat "$WORK/hold")"
	refuse tcp "$address" half x
	run -1 --separate-stderr sbx port rm web "${address##*:}"
	expect_match 'has no port' "$stderr"
}

@test "what cannot be is refused in words" {
	local taken
	run -1 --separate-stderr sbx port add web "$P:80"
	expect_match 'leads to port 80 of this sandbox already' "$stderr"
	taken=$(free_port)
	socat "TCP-LISTEN:$taken,reuseaddr" - >/dev/null 2>&1 3>&- &
	local pid=$!
	wait_until 5 sh -c "ss -ltn | grep -q ':$taken '"
	run -1 --separate-stderr sbx port add web "$taken:80"
	expect_match 'already in use' "$stderr"
	run -1 --separate-stderr sbx create --name two --port "$(free_port)" --port "$taken:80"
	expect_match 'already in use' "$stderr"
	expect web "$(names)"
	kill "$pid"
	run -2 sbx port add web 80:x
	run -2 sbx port add web 70000
	run -2 sbx port add web 1:2:3
	run -1 --separate-stderr sbx port add web --bind nonsense 0:80
	expect_match 'no IP address' "$stderr"
	run -1 --separate-stderr sbx port add nobody 0:80
	expect_match "no sandbox 'nobody'" "$stderr"
	run -1 sbx port ls nobody
}

@test "off loopback: when asked for here, but not for a key over TCP" {
	local key port address
	expect_match '^0.0.0.0:[0-9]+$' "$(sbx port add web --bind 0.0.0.0 0:80)"
	address=$(sbx port add web --bind ::1 0:80)
	expect_match '^\[::1\]:[0-9]+$' "$address"
	expect from-the-guest "$(url_get "http://$address/")"
	port=$(free_port)
	sbx up --listen "127.0.0.1:$port"
	key=$(sbx key create)
	run --separate-stderr env SBX_HOST="http://127.0.0.1:$port" SBX_API_KEY="$key" sbx port add web --bind 0.0.0.0 0:80
	expect_status 1
	expect_match 'not on loopback' "$stderr"
	SBX_HOST="http://127.0.0.1:$port" SBX_API_KEY=$key sbx port add web 0:80
}

@test "create --port: open when the sandbox is there; closed when its VM ends; gone with it" {
	local a b
	a=$(free_port)
	sbx create --name short --port "$a:8000" --port 0:8001 >/dev/null
	b=$(sbx port ls short -o json | jq -r '.[1].hostPort')
	sbx exec short -- sh -c '(nc -ll -p 8000 -e echo short >/dev/null 2>&1 </dev/null &)'
	wait_until 5 listens short 8000
	expect short "$(tcp "127.0.0.1:$a" half '')"
	[ "$b" -ge 1024 ]
	kill -9 "$(vm_pid short)"
	wait_until 5 sh -c "sbx ls --state stopped -q --name short 2>/dev/null 3>&- | grep -q ."
	expect closed "$(sbx port ls short -o json | jq -r '.[0].state')"
	refuse tcp "127.0.0.1:$a" half ''
	run -1 --separate-stderr sbx port add short 0:8002
	expect_match 'is stopped' "$stderr"
	sbx rm short
	# its numbers are free for others
	sbx create --name next --port "$a:8000" >/dev/null
	sbx rm next
}

@test "ports come back with the daemon; one that was taken meanwhile says so" {
	local other daemon
	other=$(add 80)
	other=${other##*:}
	daemon=$(daemon_pid)
	kill -9 "$daemon"
	wait_until 5 ended "$daemon"
	socat "TCP-LISTEN:$other,reuseaddr,fork" - >/dev/null 2>&1 3>&- &
	local pid=$!
	wait_until 5 sh -c "ss -ltn | grep -q ':$other '"
	sbx ls >/dev/null
	wait_until 10 url_get "http://127.0.0.1:$P/"
	expect from-the-guest "$(url_get "http://127.0.0.1:$P/")"
	expect failed "$(port_state "$other")"
	expect_match 'already in use' "$(sbx port ls web)"
	kill "$pid"
	wait "$pid" || true
	sbx port add web "$other:80"
	expect from-the-guest "$(url_get "http://127.0.0.1:$other/")"
}

@test "a sandbox that was paused for idleness comes back for a connection, by its port and by its name" {
	local port
	port=$(free_port)
	sbx create --name lazy --idle 1 --port "$port:80" >/dev/null
	sbx exec lazy -- sh -c 'mkdir /www; echo lazy >/www/index.html; httpd -p 127.0.0.1:80 -h /www'
	wait_until 20 state_is lazy paused
	expect open "$(sbx port ls lazy -o json | jq -r '.[0].state')"
	expect lazy "$(url_get "http://127.0.0.1:$port/")"
	wait_until 20 state_is lazy paused
	expect lazy "$(url_get "$(sbx port url lazy 80)")"
	# a connection that is open is use
	tcp "127.0.0.1:$port" hold >"$WORK/lazy" &
	local pid=$!
	wait_until 10 grep -q held "$WORK/lazy"
	sleep 2.5 # longer than it may be idle
	expect running "$(field lazy state)"
	# on request it is away, and so is its port; the connection is cut
	sbx pause lazy >/dev/null
	wait "$pid"
	expect_match reset "$(cat "$WORK/lazy")"
	expect closed "$(sbx port ls lazy -o json | jq -r '.[0].state')"
	refuse url_get "http://127.0.0.1:$port/"
	sbx resume lazy >/dev/null
	expect lazy "$(url_get "http://127.0.0.1:$port/")"
	sbx rm lazy
}

@test "a daemon that starts again opens the ports of what is paused for idleness" {
	local port daemon
	port=$(free_port)
	sbx create --name lazy --idle 1 --port "$port:80" >/dev/null
	sbx exec lazy -- sh -c 'mkdir /www; echo lazy >/www/index.html; httpd -p 127.0.0.1:80 -h /www'
	wait_until 20 state_is lazy paused
	daemon=$(daemon_pid)
	kill -9 "$daemon"
	wait_until 5 ended "$daemon"
	expect paused "$(field lazy state)"
	expect lazy "$(url_get "http://127.0.0.1:$port/")"
	sbx rm lazy
}

# ---- the proxy ----

proxy_port() { api /system | jq -r 'first(.listeners[] | select(.kind == "proxy").address) | split(":")[-1]'; }
by_name() { # by_name NAME PATH CURL-ARGS...
	local name=$1 path=$2
	shift 2
	url_get -H "Host: $name" "$@" "http://127.0.0.1:$(proxy_port)$path"
}

@test "port url starts the proxy and prints an address that works" {
	local url
	url=$(sbx port url web 80)
	expect_match '^http://80-web\.localhost:[0-9]+/$' "$url"
	expect from-the-guest "$(url_get "$url")"
	expect "$url" "$(sbx port url web 80)"
	expect from-the-guest "$(by_name "80-$(field web id).LOCALHOST:1" /)"
	expect localhost "$(api /system | jq -r '.listeners[] | select(.kind == "proxy").suffix')"
}

@test "the proxy answers with what is wrong" {
	local name want
	while read -r name want; do
		expect "$want" "$(by_name "$name" / -o /dev/null -w '%{http_code}')" "$name"
	done <<-'ROWS'
		80-nobody.localhost 404
		9-web.localhost 502
		localhost 400
		evil.example.com 400
		80-web.localhost.evil.com 400
		0-web.localhost 400
	ROWS
	expect_match "nothing listens on port 9 of sandbox 'web'" "$(by_name 9-web.localhost /)"
	expect 431 "$(by_name 80-web.localhost / -H "X: $(head -c 20000 /dev/zero | tr '\0' x)" -o /dev/null -w '%{http_code}')"
	expect_match '^HTTP/1.1 400' "$(tcp "127.0.0.1:$(proxy_port)" half $'nonsense\r\n\r\n')"
	sbx create --name dead >/dev/null
	kill -9 "$(vm_pid dead)"
	wait_until 5 sh -c "sbx ls --state stopped -q --name dead 2>/dev/null 3>&- | grep -q ."
	expect 503 "$(by_name 80-dead.localhost / -o /dev/null -w '%{http_code}')"
	sbx rm dead
}

@test "the proxy: several requests on a connection, uploads, and a WebSocket" {
	local port
	port=$(proxy_port)
	expect "from-the-guest from-the-guest" "$(by_name 80-web.localhost / "http://127.0.0.1:$port/" | xargs)"
	head -c 20000000 /dev/urandom >"$WORK/up"
	printf 'PUT / HTTP/1.1\r\nHost: 82-web.localhost\r\nContent-Length: 20000000\r\n\r\n' | cat - "$WORK/up" >"$WORK/request"
	expect "$(sha256sum <"$WORK/request")" "$(tcp "127.0.0.1:$port" put "$WORK/request")"
	run -0 tcp "127.0.0.1:$port" upgrade 83-web.localhost
	expect "HTTP/1.1 101 Switching Protocols accepted frame 1 hello echoed" "$(echo "$output" | xargs)"
	rm "$WORK/up" "$WORK/request"
}

@test "up --proxy listens where it is told, with names of one's own; never off loopback" {
	local address
	address=$(sbx up --proxy 127.0.0.1:0 --suffix boxes.example.com)
	expect from-the-guest "$(url_get -H 'Host: 80-web.boxes.example.com' "http://$address/")"
	expect 400 "$(url_get -H 'Host: 80-web.localhost' -o /dev/null -w '%{http_code}' "http://$address/")"
	run -1 --separate-stderr sbx up --proxy 0.0.0.0:0
	expect_match 'not on loopback' "$stderr"
	run -2 sbx up --suffix x
	run -2 sbx up --proxy 127.0.0.1:0 --listen 127.0.0.1:0
}
