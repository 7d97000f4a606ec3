#!/usr/bin/env bats
# The native API over HTTP: keys on TCP, exec, files, streams, what is refused.
load helper

setup_file() {
	e2e_up
	PORT=$(free_port)
	export PORT
	sbx up --listen "127.0.0.1:$PORT"
	sbx create --name demo >/dev/null
	KEY=$(sbx key create --name first | tail -n 1)
	export KEY
}
teardown_file() { e2e_down; }

tcp() { # tcp PATH [CURL ARGS...]: the status code; the body goes to $WORK/body
	local path=$1
	shift
	curl -sS --max-time 20 -o "$WORK/body" -w '%{http_code}' "$@" "http://127.0.0.1:$PORT/sbx/v1$path" 3>&-
}
code() { jq -r .error.code "$WORK/body"; }

@test "without a key: 401 on everything but version and health" {
	local path
	expect 200 "$(tcp /version)"
	expect 200 "$(tcp /health)"
	for path in /sandboxes /sandboxes/demo /system /keys /images '/sandboxes/demo/files?path=/etc/passwd'; do
		expect 401 "$(tcp "$path")" "GET $path"
		expect unauthorized "$(code)"
	done
	expect 401 "$(tcp /sandboxes -X POST -H 'Content-Type: application/json' -d '{}')"
	expect 401 "$(tcp /sandboxes/demo -X DELETE)"
	expect 401 "$(tcp /sandboxes/demo/exec -X POST -H 'Content-Type: application/json' -d '{"command":["true"]}')"
}

@test "a key opens by X-API-Key, by Bearer, and by ?apiKey= for WebSockets" {
	expect 200 "$(tcp /sandboxes -H "X-API-Key: $KEY")"
	expect 200 "$(tcp /sandboxes -H "Authorization: Bearer $KEY")"
	expect 401 "$(tcp /sandboxes -H "X-API-Key: ${KEY}x")"
	expect 401 "$(tcp /sandboxes -H "X-API-Key: ${KEY%?}")"
	expect 401 "$(tcp /sandboxes -H 'X-API-Key: ')"
	expect 401 "$(tcp /sandboxes -H 'Authorization: Bearer')"
	expect 401 "$(tcp /sandboxes -H "Authorization: Basic $KEY")"
	local ws="$TOP/tests/e2e/ws.py"
	run python3 "$ws" "127.0.0.1:$PORT" "/sandboxes/demo/exec/stream?apiKey=$KEY" --start '{"command": ["sh", "-c", "echo hi; exit 4"]}'
	expect_status 4
	expect hi "$output"
	run python3 "$ws" "127.0.0.1:$PORT" "/sandboxes/demo/exec/stream?apiKey=wrong"
	expect_status 100
	expect_match 401 "$output"
	run python3 "$ws" "127.0.0.1:$PORT" /sandboxes/demo/exec/stream
	expect_status 100
	expect_match 401 "$output"
	run python3 "$ws" "127.0.0.1:$PORT" /sandboxes/demo/exec/stream --header "X-API-Key: $KEY" --start '{"command": ["true"]}'
	expect_status 0
}

@test "a key is shown once, listed without its secret, stored hashed, and revoked at once" {
	local key
	key=$(sbx key create --name second | tail -n 1)
	expect 200 "$(tcp /sandboxes -H "X-API-Key: $key")"
	expect_match second "$(sbx key ls)"
	refuse grep -qF "$key" <(sbx key ls -o json)
	refuse grep -rqaF "$key" "$SBX_HOME"
	refuse sbx key create --name second
	sbx key rm second
	expect 401 "$(tcp /sandboxes -H "X-API-Key: $key")"
	expect 200 "$(tcp /sandboxes -H "X-API-Key: $KEY")"
	refuse sbx key rm second
}

@test "keys cannot be stretched: what is local stays local" {
	expect 403 "$(tcp /system/shutdown -X POST -H "X-API-Key: $KEY")"
	expect 403 "$(tcp /system/listeners -X POST -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d '{"address": "127.0.0.1:0"}')"
	expect 200 "$(tcp /system -H "X-API-Key: $KEY")"
}

@test "a page in a browser cannot use the daemon: foreign Origin and Host" {
	run python3 "$TOP/tests/e2e/ws.py" "$SBX_HOME/sbxd.sock" /sandboxes/demo/exec/stream --header 'Origin: http://evil.example' --start '{"command": ["true"]}'
	expect_status 100
}

@test "exec over HTTP: outputs, code, stdin, base64 when it must be, truncation, timeout" {
	ex() { tcp /sandboxes/demo/exec -X POST -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d "$1"; }
	expect 200 "$(ex '{"command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}')"
	jq -e '.exitCode == 3 and .stdout == "out\n" and .stderr == "err\n" and .encoding == "utf8" and .timedOut == false and .signal == null' "$WORK/body"
	expect 200 "$(ex '{"command": ["cat"], "stdin": "grün"}')"
	jq -e '.stdout == "grün"' "$WORK/body"
	expect 200 "$(ex '{"command": ["cat"], "stdinBase64": "/wD+"}')"
	jq -e '.stdout == "/wD+" and .encoding == "base64"' "$WORK/body"
	expect 200 "$(ex '{"command": ["sh", "-c", "head -c 100000 /dev/zero | tr \"\\0\" x"], "maxOutputBytes": 1000}')"
	jq -e '(.stdout | length) == 1000 and .truncated == true' "$WORK/body"
	expect 200 "$(ex '{"command": ["sleep", "20"], "timeoutSeconds": 0.5}')"
	jq -e '.exitCode == 124 and .timedOut == true' "$WORK/body"
	expect 200 "$(ex '{"command": ["sh", "-c", "kill -9 $$"]}')"
	jq -e '.exitCode == 137 and .signal == 9' "$WORK/body"
	expect 200 "$(ex '{"command": ["sh", "-c", "echo $A; pwd; id -u"], "env": {"A": "b"}, "cwd": "/tmp", "user": "nobody"}')"
	jq -e '.stdout == "b\n/tmp\n65534\n"' "$WORK/body"
	expect 200 "$(ex '{"command": ["nosuchprogram"]}')"
	jq -e '.exitCode == 127' "$WORK/body"
}

@test "requests that break the contract are 400 and say where" {
	bad() { tcp "$1" -X POST -H "X-API-Key: $KEY" -H 'Content-Type: application/json' -d "$2"; }
	expect 400 "$(bad /sandboxes/demo/exec '{}')"
	expect_match command "$(jq -r .error.message "$WORK/body")"
	expect 400 "$(bad /sandboxes/demo/exec '{"command": []}')"
	expect 400 "$(bad /sandboxes/demo/exec '{"command": "ls"}')"
	expect 400 "$(bad /sandboxes/demo/exec '{"command": ["ls"], "nosuchfield": 1}')"
	expect 400 "$(bad /sandboxes/demo/exec '{"command": ["ls"], "command": ["id"]}')"
	expect 400 "$(bad /sandboxes/demo/exec '{"command": ["ls"]')"
	expect 400 "$(bad /sandboxes/demo/exec '{"command": ["ls"]} trailing')"
	expect 400 "$(bad /sandboxes '{"memoryMb": 1}')"
	expect 400 "$(bad /sandboxes '{"memoryMb": "256"}')"
	expect 400 "$(bad /sandboxes '{"name": "Not Valid"}')"
	expect_match '^(400|413)$' "$(bad /sandboxes "$(printf '[%.0s' {1..500})")"
	expect 400 "$(tcp '/sandboxes?limit=0' -H "X-API-Key: $KEY")"
	expect 400 "$(tcp '/sandboxes?state=nosuch' -H "X-API-Key: $KEY")"
	expect 404 "$(tcp /sandboxes/nosuch -H "X-API-Key: $KEY")"
	expect not_found "$(code)"
	expect 404 "$(tcp /nosuch -H "X-API-Key: $KEY")"
	expect 405 "$(tcp /sandboxes -X PATCH -H "X-API-Key: $KEY")"
	expect 409 "$(bad /sandboxes '{"name": "demo"}')"
	expect 404 "$(bad /sandboxes '{"image": "nosuch"}')"
	expect_consistent
}

@test "files: write, read, range, stat, list, mkdir, remove" {
	f() { tcp "/sandboxes/demo/files$1" -H "X-API-Key: $KEY" "${@:2}"; }
	head -c 3000000 /dev/urandom >"$WORK/data"
	expect 204 "$(f '?path=/tmp/d.bin&mode=0640' -T "$WORK/data")"
	expect 200 "$(f '?path=/tmp/d.bin')"
	cmp "$WORK/data" "$WORK/body"
	expect 200 "$(f '?path=/tmp/d.bin&offset=1000&length=500')"
	cmp <(tail -c +1001 "$WORK/data" | head -c 500) "$WORK/body"
	expect 200 "$(f '/stat?path=/tmp/d.bin')"
	jq -e '.type == "file" and .size == 3000000 and .mode == 416 and .name == "d.bin"' "$WORK/body"
	expect 201 "$(f /mkdir -X POST -H 'Content-Type: application/json' -d '{"path": "/tmp/m/n", "parents": true}')"
	expect 409 "$(f /mkdir -X POST -H 'Content-Type: application/json' -d '{"path": "/tmp/m/n"}')"
	expect 204 "$(f '?path=/tmp/m/n/x' -X PUT -H 'Content-Type: application/octet-stream' --data-binary hello)"
	expect 200 "$(f '/list?path=/tmp/m&depth=5')"
	jq -e '[.entries[].path] == ["/tmp/m/n", "/tmp/m/n/x"]' "$WORK/body"
	expect 409 "$(f '?path=/tmp/m' -X DELETE)"
	expect 204 "$(f '?path=/tmp/m&recursive=true' -X DELETE)"
	expect 404 "$(f '?path=/tmp/m')"
	expect 404 "$(f '/stat?path=/tmp/m')"
	expect 400 "$(f '')"
	expect 403 "$(f '?path=/root/x&user=nobody' -X PUT -H 'Content-Type: application/octet-stream' --data-binary hello)"
}

@test "an upload in chunks of unknown length, and one that breaks off: the old file stands" {
	f() { tcp "/sandboxes/demo/files$1" -H "X-API-Key: $KEY" "${@:2}"; }
	expect 204 "$(head -c 2000000 /dev/zero | f '?path=/tmp/c.bin' -T -)"
	expect 2000000 "$(sbx exec demo -- stat -c %s /tmp/c.bin)"
	python3 - "$PORT" "$KEY" <<-'END'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.sendall(b"PUT /sbx/v1/sandboxes/demo/files?path=/tmp/c.bin HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: 1000000\r\n\r\n" % sys.argv[2].encode())
		s.sendall(b"x" * 300000)
		s.close()
	END
	sleep 0.5
	expect 2000000 "$(sbx exec demo -- stat -c %s /tmp/c.bin)"
	expect 1 "$(sbx exec demo -- sh -c 'ls -A /tmp | grep -c c.bin')"
}

@test "a tar stream in and out" {
	tar c -C "$TOP" shared/base | tcp '/sandboxes/demo/files/archive?path=/tmp/arch' -H "X-API-Key: $KEY" -T - | grep -qx 204
	expect 200 "$(tcp '/sandboxes/demo/files/archive?path=/tmp/arch&name=.' -H "X-API-Key: $KEY")"
	mkdir -p "$WORK/arch"
	tar x -C "$WORK/arch" -f "$WORK/body"
	diff -r "$TOP/shared/base" "$WORK/arch/shared/base"
	tar cz -C "$TOP" shared/base | tcp '/sandboxes/demo/files/archive?path=/tmp/archz' -H "X-API-Key: $KEY" -T - | grep -qx 204
	sbx exec demo -- test -f /tmp/archz/shared/base/err.h
}

@test "a hostile archive writes nothing outside its folder" {
	python3 - "$WORK/evil.tar" <<-'END'
		import io, sys, tarfile
		with tarfile.open(sys.argv[1], "w") as t:
		    def file(name, data=b"owned"):
		        i = tarfile.TarInfo(name); i.size = len(data); t.addfile(i, io.BytesIO(data))
		    def link(name, to, kind=tarfile.SYMTYPE):
		        i = tarfile.TarInfo(name); i.type = kind; i.linkname = to; t.addfile(i)
		    file("fine"); file("../up"); file("/tmp/absolute"); file("a/../../up2")
		    link("out", "/tmp"); file("out/through"); link("hard", "/etc/passwd", tarfile.LNKTYPE); file("hard")
	END
	sbx exec demo -- sh -c 'rm -rf /tmp/box /tmp/up /tmp/up2 /tmp/absolute /tmp/through; sha256sum /etc/passwd >/tmp/passwd.sum'
	tcp '/sandboxes/demo/files/archive?path=/tmp/box' -H "X-API-Key: $KEY" -T "$WORK/evil.tar"
	expect '' "$(sbx exec demo -- sh -c 'ls -d /tmp/up /tmp/up2 /tmp/absolute /tmp/through 2>/dev/null')"
	sbx exec demo -- sha256sum -c /tmp/passwd.sum
}

@test "a list in pages" {
	local i
	for i in 1 2 3; do sbx create --name "page$i" >/dev/null; done
	expect 200 "$(tcp '/sandboxes?limit=2&name=page' -H "X-API-Key: $KEY")"
	jq -e '[.sandboxes[].name] == ["page3", "page2"]' "$WORK/body"
	local cursor
	cursor=$(jq -r .nextCursor "$WORK/body")
	expect 200 "$(tcp "/sandboxes?limit=2&name=page&cursor=$cursor" -H "X-API-Key: $KEY")"
	jq -e '[.sandboxes[].name] == ["page1"] and .nextCursor == null' "$WORK/body"
	sbx rm page1 page2 page3
}

@test "malformed HTTP is refused and the daemon goes on" {
	local junk
	for junk in 'GET' $'GET / HTTP/9.9\r\n\r\n' $'\x16\x03\x01\x02' $'POST /sbx/v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' \
		$'GET /sbx/v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n' $'GET /sbx/v1/sandboxes/%00 HTTP/1.1\r\nHost: x\r\n\r\n' \
		$'POST /sbx/v1/sandboxes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n' "GET /sbx/v1/$(printf 'a%.0s' {1..20000}) HTTP/1.1"$'\r\n\r\n'; do
		printf '%s' "$junk" | timeout 3 socat -t 1 - "TCP:127.0.0.1:$PORT" >"$WORK/junk" || true
		refuse grep -q '200 OK' "$WORK/junk"
	done
	expect 200 "$(tcp /health)"
	expect ok "$(sbx exec demo -- echo ok)"
}

@test "a connection that never finishes its request holds up nobody" {
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
	printf 'GET /sbx/v1/sandb' >&8
	within 1000 sbx ls >/dev/null
	expect 200 "$(tcp /health)"
	exec 8>&-
}

@test "listening on an address that is taken, or on none, is an error in words" {
	run --separate-stderr sbx up --listen "127.0.0.1:$PORT"
	[ "$status" -eq 0 ] || [ "$status" -eq 1 ]
	local other
	other=$(free_port)
	timeout 30 socat "TCP-LISTEN:$other,bind=127.0.0.1" - >/dev/null 2>&1 3>&- &
	local blocker=$!
	wait_until 3 bash -c "ss -ltn | grep -q ':$other '"
	run --separate-stderr sbx up --listen "127.0.0.1:$other"
	kill "$blocker"
	expect_status 1
	expect_match "$other" "$stderr"
	run --separate-stderr sbx up --listen nonsense
	[ "$status" -ne 0 ]
}

@test "off loopback without TLS is refused" {
	run --separate-stderr timeout 20 sbx up --listen "0.0.0.0:$(free_port)"
	[ "$status" -ne 0 ]
	[ -n "$stderr" ]
}
