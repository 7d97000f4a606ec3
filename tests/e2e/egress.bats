#!/usr/bin/env bats
# --net allow:...: a guest reaches the names and networks that it was given, and nothing else. The world is a network namespace with
# several addresses behind a veth pair; the host's resolver is a server of ours there, by a private /etc/resolv.conf for the daemon.
load helper

setup_file() {
	e2e_up
	NS=sbxg$$
	NET=10.98.$((RANDOM % 250))
	export NS NET
	sbx down --yes 2>/dev/null
	if ! ip netns add "$NS" 2>/dev/null || ! unshare -m true 2>/dev/null; then
		export NS=
		return
	fi
	ip link add "$NS" type veth peer name e0 netns "$NS"
	ip addr add "$NET.1/24" dev "$NS"
	ip link set "$NS" up
	local i
	for i in 2 3 4 5 6; do ip netns exec "$NS" ip addr add "$NET.$i/24" dev e0; done
	ip netns exec "$NS" ip link set e0 up
	ip netns exec "$NS" ip link set lo up
	for i in 80 81; do
		ip netns exec "$NS" socat "TCP-LISTEN:$i,fork,reuseaddr" SYSTEM:'echo from-$SOCAT_SOCKADDR' >/dev/null 2>&1 3>&- &
	done
	ip netns exec "$NS" socat -u UDP-RECV:8081 "OPEN:$WORK/udp,creat,append" >/dev/null 2>&1 3>&- &
	ip netns exec "$NS" socat TCP-LISTEN:90,fork,reuseaddr EXEC:cat >/dev/null 2>&1 3>&- &
	ip netns exec "$NS" python3 "$TOP/tests/e2e/dns.py" "$NET.6" "$WORK/asked" "api.test=$NET.2" "a.wild.test=$NET.3" "wild.test=$NET.3" \
		"evil.test=$NET.4" "alias.test>api.test" "spoof.wild.test=$NET.3" "host.wild.test=$NET.1" "local.wild.test=127.0.0.1" \
		"many.wild.test=$NET.3,$NET.5" >/dev/null 2>&1 3>&- &
	echo "nameserver $NET.6" >"$WORK/resolv.conf"
	# the daemon, and what it starts, sees this resolv.conf; nobody else does
	unshare -m sh -c "mount --bind '$WORK/resolv.conf' /etc/resolv.conf && sbx up" >/dev/null 2>&1 3>&-
	wait_until 10 grep -q ready "$WORK/asked"
	sbx create --name one --net "allow:api.test,*.wild.test:80,$NET.5/32:81,alias.test:80" >/dev/null
}
teardown_file() {
	if [ -n "$NS" ]; then
		ip netns pids "$NS" | xargs -r kill 2>/dev/null || true
		ip link del "$NS" 2>/dev/null || true
		ip netns del "$NS" || true
	fi
	e2e_down
}
setup() { [ -n "$NS" ] || skip 'no network namespaces here (needs root)'; }

# answers SANDBOX HOST PORT ADDRESS: a server at that address of the world answers.
answers() { sbx exec --timeout 10 "$1" -- sh -c "nc -w 3 $2 $3 </dev/null" 2>/dev/null | grep -q "from-$NET.$4"; }
lookup() { sbx exec --timeout 10 one -- nslookup -type=a "$1" 2>&1; }
asked() { grep -cx "$1" "$WORK/asked" || true; }

@test "the rules are shown as they were given; wrong ones are refused in words" {
	expect "allow:api.test,*.wild.test:80,$NET.5/32:81,alias.test:80" "$(field one net)"
	run -1 --separate-stderr sbx create --net 'allow:a b'
	expect_match "'a b' is no host name" "$stderr"
	run -1 --separate-stderr sbx create --net 'allow:'
	expect_match 'no host name' "$stderr"
	run -2 --separate-stderr sbx create --net=some
	expect_match "takes one of full, none, allow:" "$stderr"
	expect one "$(names)"
}

@test "before its name was asked for, an allowed name's address is shut" {
	refuse answers one "$NET.2" 80 2
	refuse answers one "$NET.3" 80 3
}

@test "an allowed name resolves and is reached" {
	answers one api.test 80 2 || fail 'not by name'
	answers one api.test 81 2 || fail 'not on another port'
	answers one "$NET.2" 80 2 || fail 'not by the address that the name has'
	answers one API.Test 80 2 || fail 'not in capitals'
}

@test "a name that is not allowed does not exist, and nobody is asked for it" {
	local before
	expect_match NXDOMAIN "$(lookup evil.test)"
	expect 0 "$(asked evil.test)"
	expect_match NXDOMAIN "$(lookup wild.test)"
	expect_match NXDOMAIN "$(lookup x.api.test)"
	expect_match NXDOMAIN "$(lookup api.test.evil.test)"
	refuse answers one evil.test 80 4
	refuse answers one "$NET.4" 80 4
	# the world is there: another sandbox gets it
	sbx create --name all --net >/dev/null
	answers all "$NET.4" 80 4 || fail 'the server is not live'
	sbx rm all
	before=$(wc -l <"$WORK/asked")
	sbx exec one -- sh -c 'i=0; while [ $i -lt 20 ]; do nslookup secret-$i.evil.test; i=$((i + 1)); done' >/dev/null 2>&1 || true
	expect "$before" "$(wc -l <"$WORK/asked")"
}

@test "wildcards: names below, on their port only" {
	answers one a.wild.test 80 3 || fail 'no way to a.wild.test'
	refuse answers one a.wild.test 81 3
	expect_match "$NET.5" "$(lookup many.wild.test)"
	answers one "$NET.5" 80 5 || fail 'the second address is shut'
}

@test "a network is reached without a name, on its port only" {
	answers one "$NET.5" 81 5 || fail 'no way there'
	refuse answers one "$NET.4" 81 4
}

@test "an alias leads to where it points" {
	sbx create --name two --net allow:alias.test >/dev/null
	refuse answers two "$NET.2" 80 2
	answers two alias.test 80 2 || fail 'no way to alias.test'
	expect_match NXDOMAIN "$(sbx exec two -- nslookup -type=a api.test 2>&1)"
	sbx rm two
}

@test "false answers are not believed" {
	answers one spoof.wild.test 80 3 || fail 'the true answer did not come through'
	refuse answers one "$NET.4" 80 4
}

@test "a name that points at the host, or at loopback, opens neither" {
	local port
	port=80
	socat "TCP-LISTEN:$port,bind=$NET.1,fork,reuseaddr" SYSTEM:'echo from-$SOCAT_SOCKADDR' >/dev/null 2>&1 3>&- &
	local pid=$!
	wait_until 5 sh -c "ip netns exec $NS socat -t 2 - TCP:$NET.1:$port </dev/null 2>/dev/null | grep -q from-"
	expect_match "$NET.1" "$(lookup host.wild.test)"
	refuse answers one host.wild.test "$port" 1
	refuse answers one local.wild.test "$port" 1
	kill "$pid"
}

@test "not by UDP, not by another name server, not by ping, not by a raw address" {
	sbx exec --timeout 2 one -- tftp -g -r from-guest -l /dev/null "$NET.4" 8081 >/dev/null 2>&1 || true
	refuse sbx exec --timeout 10 one -- nslookup -type=a evil.test "$NET.6:53"
	refuse sbx exec --timeout 10 one -- ping -c 1 -W 2 "$NET.4"
	refuse grep -qa from-guest "$WORK/udp"
	# proof that all of them are live
	sbx create --name all --net >/dev/null
	sbx exec --timeout 2 all -- tftp -g -r from-guest -l /dev/null "$NET.4" 8081 >/dev/null 2>&1 || true
	wait_until 5 grep -qa from-guest "$WORK/udp"
	expect_match "$NET.4" "$(sbx exec --timeout 10 all -- nslookup -type=a evil.test "$NET.6:53")"
	sbx exec --timeout 10 all -- nc -w 3 "$NET.4" 80 </dev/null | grep -q from-
	sbx rm all
}

@test "what is refused is refused at once" {
	within 3000 refuse sbx exec one -- nc -w 9 "$NET.4" 80
}

@test "the rules live through the daemon's death" {
	local daemon
	daemon=$(daemon_pid)
	kill -9 "$daemon"
	wait_until 5 ended "$daemon"
	expect "allow:api.test,*.wild.test:80,$NET.5/32:81,alias.test:80" "$(field one net)"
	answers one api.test 80 2 || fail 'no way out'
	refuse answers one "$NET.4" 80 4
}

@test "sbx-net refuses rules that it does not understand" {
	run "$TOP/build/bin/sbx-net" --fd 3 --allow 'a b'
	[ "$status" -ne 0 ]
	run "$TOP/build/bin/sbx-net" --help
	expect_match -- --allow "$output"
}
