#!/usr/bin/env bats
# Files of Wrenn's capsules as curl sends and gets them: forms in both orders, limits, and uploads that break. What each operation
# answers, one by one, is in tests/conformance/wrenn_files.py.
load helper

setup_file() {
	e2e_up
	sbx up
	local base=http://sbx/v1
	TOKEN=$(curl -sS --max-time 20 --unix-socket "$SBX_HOME/sbxd.sock" "$base/auth/signup" -H 'Content-Type: application/json' \
		-d '{"email": "wren@example.org", "password": "correct horse", "name": "Wren"}' 3>&- | jq -r .token)
	ID=$(curl -sS --max-time 60 --unix-socket "$SBX_HOME/sbxd.sock" "$base/capsules" -H 'Content-Type: application/json' -d '{}' \
		-H "Authorization: Bearer $TOKEN" 3>&- | jq -r .id)
	INSIDE=$(sbx ls -o json | jq -r '(.sandboxes? // .)[0].id')
	export TOKEN ID INSIDE
	[ "$ID" != null ]
}
teardown_file() { e2e_down; }

files() { # files OP [CURL ARGS...]: the status; the body goes to $WORK/body
	curl -sS --max-time 40 --unix-socket "$SBX_HOME/sbxd.sock" -o "$WORK/body" -w '%{http_code}' -H "Authorization: Bearer $TOKEN" \
		"http://sbx/v1/capsules/$ID/files/$1" "${@:2}" 3>&-
}
ask() { files "$1" -H 'Content-Type: application/json' -d "$2"; } # ask OP JSON
said() { jq -r '.error | .code + ": " + .message' "$WORK/body"; }
inside() { sbx exec "$INSIDE" -- sh -c "$1"; }
# What an upload could leave: hidden files where they are made, and processes of the agent beside itself.
nothing_left() { [ "$(inside 'ls -A / /root /tmp /home | grep -F .sbx; pidof sbx-agent | wc -w')" = 1 ]; }
busy() { [ "$(inside 'pidof sbx-agent | wc -w')" -gt 1 ]; }

@test "a form in either order, to both operations, through folders that are not there" {
	local op
	head -c 3000000 /dev/urandom >"$WORK/data"
	for op in write stream/write; do
		expect 204 "$(files "$op" -F path=/tmp/first/a/x -F "file=@$WORK/data")" "$op"
		expect 200 "$(ask read '{"path": "/tmp/first/a/x"}')"
		cmp "$WORK/data" "$WORK/body"
		expect 204 "$(files "$op" -F "file=@$WORK/data" -F path=last/x -F more=ignored)" "$op"
		expect 200 "$(ask stream/read '{"path": "~/last/x"}')"
		cmp "$WORK/data" "$WORK/body"
		expect '644 755' "$(inside 'stat -c %a /root/last/x /root/last | xargs; rm -r /root/last /tmp/first')"
	done
	nothing_left
}

@test "in either order: an older file's mode stays, links are followed, another file system will do" {
	local order
	for order in path file; do
		put() { # put PATH TEXT
			if [ "$order" = path ]; then files stream/write -F "path=$1" -F "file=$2"; else files stream/write -F "file=$2" -F "path=$1"; fi
		}
		inside 'mkdir -p /tmp/l/d; cd /tmp/l; echo old >x; chmod 751 x; ln -sf x link; ln -sfn d dir'
		expect 204 "$(put /tmp/l/link new)"
		expect 204 "$(put /tmp/l/dir/y y)"
		expect 204 "$(put /dev/shm/z z)"
		expect 204 "$(put /tmp/l/empty '')"
		expect 204 "$(put /dev/null lost)"
		expect 'new 751 y z' "$(inside 'cd /tmp/l; test -L link -a -L dir -a -f empty -a ! -s empty -a -c /dev/null; cat x; stat -c " %a" x; cat d/y /dev/shm/z; rm -r /tmp/l' | sed 's/yz/y z/' | xargs)"
		expect 502 "$(put /etc x)"
		expect_match '^agent_error: is a directory' "$(said)"
		expect 502 "$(put /etc/passwd/x x)"
	done
	nothing_left
}

@test "names of all kinds, in forms and in lists" {
	local name
	for name in 'a b' 'quo"te' "it's" 'new
line' 'grün' '-n' '$HOME' '%41' 'back\slash'; do
		expect 204 "$(files write -F "file=$name" -F "path=/tmp/names/$name")" "$name"
		expect 200 "$(ask read "$(jq -n --arg p "/tmp/names/$name" '{path: $p}')")"
		expect "$name" "$(cat "$WORK/body")"
	done
	expect 200 "$(ask list '{"path": "/tmp/names"}')"
	jq -e '[.entries[].name] == (["a b", "quo\"te", "it'"'"'s", "new\nline", "grün", "-n", "$HOME", "%41", "back\\slash"] | sort)' "$WORK/body"
	inside 'cd /tmp/names && touch "$(printf "\\377")"'
	expect 200 "$(ask list '{"path": "/tmp/names"}')"
	jq -e '.entries | length == 10 and .[9].name == "\ufffd"' "$WORK/body"
	expect 204 "$(ask remove '{"path": "/tmp/names"}')"
}

@test "a link tells where it leads and what is there" {
	inside 'mkdir -p /tmp/t/d; cd /tmp/t; : >f; chmod 4750 f; ln -s f 1; ln -s 1 2; ln -s d 3; ln -s 5 4; ln -s 4 5; mkfifo p'
	expect 200 "$(ask list '{"path": "/tmp/t"}')"
	jq -ce '[.entries[] | [.name, .type, .mode, .permissions, .symlink_target]] == [
		["1", "file", 488, "Lrwxrwxrwx", "/tmp/t/f"], ["2", "file", 488, "Lrwxrwxrwx", "/tmp/t/f"],
		["3", "directory", 493, "Lrwxrwxrwx", "/tmp/t/d"], ["4", "unknown", 0, "Lrwxrwxrwx", "/tmp/t/4"],
		["5", "unknown", 0, "Lrwxrwxrwx", "/tmp/t/5"], ["d", "directory", 493, "drwxr-xr-x", null],
		["f", "file", 488, "urwxr-x---", null], ["p", "unknown", 420, "prw-r--r--", null]]' "$WORK/body"
	expect 409 "$(ask mkdir '{"path": "/tmp/t/3"}')"
	expect 400 "$(ask mkdir '{"path": "/tmp/t/1"}')"
	expect 502 "$(ask mkdir '{"path": "/tmp/t/f/x"}')"
	expect 502 "$(ask read '{"path": "/tmp/t/4"}')"
	expect 204 "$(ask remove '{"path": "/tmp/t/3"}')"
	expect 200 "$(ask list '{"path": "/tmp/t/d"}')"
	expect 204 "$(ask remove '{"path": "/tmp/t"}')"
}

@test "a form that is not right is 400 and says why; nothing is left of its file" {
	local long op
	long=$(printf '%04097d' 0)
	for op in write stream/write; do
		expect 400 "$(files "$op" -F "file=@$WORK/data")"
		expect "invalid_request: the form's part 'path' is missing" "$(said)"
		expect 400 "$(files "$op" -F path=/tmp/no)"
		expect "invalid_request: the form's part 'file' is missing" "$(said)"
		expect 400 "$(files "$op" -F path=/tmp/no -F "file=@$WORK/data" -F path=/tmp/yes)"
		expect "invalid_request: the form's part 'path' is given twice" "$(said)"
		expect 400 "$(files "$op" -F path=/tmp/no -F "file=@$WORK/data" -F file=x)"
		expect "invalid_request: the form's part 'file' is given twice" "$(said)"
		expect 400 "$(files "$op" -F "file=@$WORK/data" -F path='~wren/no')"
		expect 400 "$(files "$op" -F file=x -F "path=$long")"
		expect 400 "$(files "$op" -F file=x -F path=)"
		expect 400 "$(files "$op" -H 'Content-Type: multipart/form-data' -d x)"
		expect_match boundary "$(said)"
		expect 400 "$(files "$op" -d x)"
		# cut off before its last boundary
		expect 400 "$(printf -- '--b\r\nContent-Disposition: form-data; name=path\r\n\r\n/tmp/no\r\n--b\r\nContent-Disposition: form-data; name=file\r\n\r\nx' |
			files "$op" -H 'Content-Type: multipart/form-data; boundary=b' --data-binary @-)"
	done
	expect '' "$(inside 'ls /tmp')"
	wait_until 5 nothing_left
}

@test "files/write takes 100 MiB and no more, announced or not; files/stream/write takes it" {
	truncate -s 105000000 "$WORK/much"
	expect 413 "$(files write -F path=/tmp/no -F "file=@$WORK/much")"
	expect_match '^too_large: .* 104857600 bytes' "$(said)"
	# what is not for the guest counts, too
	expect 413 "$(files write -H 'Transfer-Encoding: chunked' -F path=/tmp/no -F file=x -F "other=@$WORK/much")"
	expect 204 "$(files stream/write -F path=/tmp/yes -F file=x -F "other=@$WORK/much")"
	rm "$WORK/much"
	expect yes "$(inside 'ls /tmp; rm /tmp/yes')"
	wait_until 5 nothing_left
}

# begin OP FIELD...: a client that has sent 2 MB of its file, $WORK/fifo, and does not go on; its pid is in $client.
begin() {
	local fields=() field
	for field in "${@:2}"; do fields+=(-F "$field"); done
	mkfifo "$WORK/fifo"
	exec 8<>"$WORK/fifo"
	curl -sS -o "$WORK/cut" --unix-socket "$SBX_HOME/sbxd.sock" -H "Authorization: Bearer $TOKEN" "${fields[@]}" \
		"http://sbx/v1/capsules/$ID/files/$1" 3>&- 8>&- &
	client=$!
	head -c 2000000 /dev/zero >&8
}
end() { # ... and goes away
	kill "$client"
	exec 8>&-
	rm "$WORK/fifo"
}

@test "a client that goes away in the middle leaves the old file, no half one and no process" {
	inside 'echo whole >/tmp/x'
	begin stream/write path=/tmp/x "file=@$WORK/fifo"
	wait_until 10 busy
	end
	wait_until 10 nothing_left
	begin write "file=@$WORK/fifo" path=/tmp/x
	wait_until 10 busy
	end
	wait_until 10 nothing_left
	expect 'x whole' "$(inside 'ls -A /tmp; cat /tmp/x' | xargs)"
	expect 200 "$(ask read '{"path": "/tmp/x"}')"
}

@test "a reader that goes away ends the reading; one whose file breaks off sees it" {
	files stream/read -H 'Content-Type: application/json' -d '{"path": "/dev/zero"}' --max-time 1 || true
	[ -s "$WORK/body" ]
	wait_until 10 nothing_left
	expect 502 "$(ask read '{"path": "/proc/self/mem"}')"
	expect 502 "$(ask stream/read '{"path": "/tmp"}')"
	expect_match '^agent_error: ' "$(said)"
}

@test "a full disk is an error, and the space comes back" {
	inside 'mkdir /tmp/small && mount -t tmpfs -o size=1m none /tmp/small'
	expect 502 "$(files stream/write -F path=/tmp/small/x -F "file=@$WORK/data")"
	expect_match '^agent_error: no space left' "$(said)"
	expect 502 "$(files stream/write -F "file=@$WORK/data" -F path=/tmp/small/x)"
	expect_match '^agent_error: no space left' "$(said)"
	expect '' "$(inside 'ls -A /tmp/small')"
	wait_until 5 nothing_left
}
