#!/usr/bin/env bats
# The guest's network: nothing by default; with --net the world, but never the host. Each "cannot reach" has a live listener and a
# proof that it can be reached from elsewhere.
load helper

setup_file() {
	e2e_up
	NS=sbxe$$
	HOST_IP=10.99.$((RANDOM % 250)).1
	PEER_IP=${HOST_IP%.1}.2
	export NS HOST_IP PEER_IP
	if ip netns add "$NS" 2>/dev/null; then
		ip link add "$NS" type veth peer name e0 netns "$NS"
		ip addr add "$HOST_IP/24" dev "$NS"
		ip link set "$NS" up
		ip netns exec "$NS" ip addr add "$PEER_IP/24" dev e0
		ip netns exec "$NS" ip link set e0 up
		ip netns exec "$NS" ip link set lo up
		# A world beyond: addresses that are neither the host's nor a neighbour's.
		ip netns exec "$NS" ip route add default via "$HOST_IP"
		ip netns exec "$NS" socat TCP-LISTEN:8080,fork,reuseaddr SYSTEM:'echo from-peer' >/dev/null 2>&1 3>&- &
		ip netns exec "$NS" socat -u UDP-RECV:8081 "OPEN:$WORK/udp-peer,creat,append" >/dev/null 2>&1 3>&- &
	else
		NS=
	fi
	PORT=$(free_port)
	UPORT=$(free_port)
	export PORT UPORT
	socat "TCP-LISTEN:$PORT,fork,reuseaddr" SYSTEM:'echo from-host' >/dev/null 2>&1 3>&- &
	socat "TCP6-LISTEN:$((PORT + 1)),fork,reuseaddr,ipv6only=1" SYSTEM:'echo from-host' >/dev/null 2>&1 3>&- &
	socat -u "UDP-RECV:$UPORT" "OPEN:$WORK/udp,creat,append" >/dev/null 2>&1 3>&- &
	jobs -p >"$WORK/listeners"
	sbx create --name shut >/dev/null
	sbx create --name open --net >/dev/null
}
teardown_file() {
	xargs kill <"$WORK/listeners" 2>/dev/null || true
	if [ -n "$NS" ]; then
		ip netns pids "$NS" | xargs -r kill 2>/dev/null || true
		ip link del "$NS" 2>/dev/null || true
		ip netns del "$NS" || true
	fi
	e2e_down
}

need_ns() { [ -n "$NS" ] || skip 'no network namespaces here (needs root)'; }

# answers SANDBOX ADDRESS PORT: the guest gets an answer from there.
answers() { sbx exec --timeout 5 "$1" -- sh -c "nc -w 3 $2 $3 </dev/null" 2>/dev/null | grep -q from-; }
# A datagram with the word from-guest: busybox has no UDP netcat, but a TFTP request is one.
send_udp() { sbx exec --timeout 1 "$1" -- tftp -g -r from-guest -l /dev/null "$2" "$3" >/dev/null 2>&1 || true; }
from_peer() { ip netns exec "$NS" timeout 3 socat -t 2 - "TCP:$1:$2" </dev/null 2>/dev/null | grep -q from-; }

@test "default: no network at all" {
	need_ns
	expect none "$(field shut net)"
	refuse answers shut "$PEER_IP" 8080
	refuse answers shut 10.0.2.2 "$PORT"
	refuse answers shut "$HOST_IP" "$PORT"
	expect '' "$(sbx exec shut -- sh -c 'ip route 2>/dev/null | grep default')"
}

@test "default: not even for a guest that configures its card itself" {
	need_ns
	sbx exec shut -- sh -c 'for d in /sys/class/net/*; do d=${d##*/}; [ $d = lo ] || { ip link set $d up; ip addr add 10.0.2.15/24 dev $d; ip route add default via 10.0.2.2; }; done' || true
	refuse answers shut "$PEER_IP" 8080
	refuse answers shut 10.0.2.2 "$PORT"
}

@test "--net reaches another machine over TCP and UDP" {
	need_ns
	expect full "$(field open net)"
	from_peer "$HOST_IP" "$PORT" || fail 'the listener on the host is not live'
	answers open "$PEER_IP" 8080 || fail 'no way out'
	send_udp open "$PEER_IP" 8081
	wait_until 5 grep -qa from-guest "$WORK/udp-peer"
}

@test "--net: the host's loopback is shut, by the gateway's address and by every name of it" {
	bash -c "exec 9<>/dev/tcp/127.0.0.1/$PORT" || fail 'the listener is not live'
	local address
	for address in 10.0.2.2 10.0.2.3 127.0.0.1 0.0.0.0 255.255.255.255 10.0.2.255; do
		refuse answers open "$address" "$PORT"
	done
	for address in fec0::2 fec0::3 ::1 ::ffff:127.0.0.1 fe80::2%eth0; do
		refuse answers open "$address" "$((PORT + 1))"
		refuse answers open "$address" "$PORT"
	done
}

@test "--net: packets for 127.0.0.1 that really leave the guest do not arrive either" {
	sbx create --name raw --net >/dev/null
	sbx exec raw -- sh -c '
		d=$(ls /sys/class/net | grep -v "^lo$" | head -n 1)
		ip addr flush dev lo; ip link set lo down
		echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet; echo 1 >/proc/sys/net/ipv4/conf/$d/route_localnet
		echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/$d/rp_filter
		ip route add 127.0.0.0/8 via 10.0.2.2'
	local sent
	sent=$(sbx exec raw -- sh -c 'cat /sys/class/net/eth0/statistics/tx_packets')
	refuse answers raw 127.0.0.1 "$PORT"
	refuse answers raw 127.0.0.2 "$PORT"
	[ "$(sbx exec raw -- cat /sys/class/net/eth0/statistics/tx_packets)" -gt "$sent" ] || fail 'no packet left the guest: nothing was tried'
	sbx rm raw
}

@test "--net: the host's own addresses are shut" {
	need_ns
	from_peer "$HOST_IP" "$PORT" || fail 'the listener is not live'
	local address
	for address in $(hostname -I); do
		case $address in *:*) refuse answers open "$address" "$((PORT + 1))" ;; *) refuse answers open "$address" "$PORT" ;; esac
	done
}

@test "--net: an address that the host gets later is shut, too" {
	need_ns
	ip addr add "${HOST_IP%.1}.77/24" dev "$NS"
	from_peer "${HOST_IP%.1}.77" "$PORT" || fail 'the listener is not live'
	# sbx-net looks every two seconds.
	wait_until 5 refuse answers open "${HOST_IP%.1}.77" "$PORT"
	ip addr del "${HOST_IP%.1}.77/24" dev "$NS"
	answers open "$PEER_IP" 8080 || fail 'no way out any more'
}

@test "--net: no UDP to the host" {
	need_ns
	ip netns exec "$NS" bash -c "echo proof >/dev/udp/$HOST_IP/$UPORT"
	wait_until 5 grep -qa proof "$WORK/udp" || fail 'the listener is not live'
	local address
	for address in 10.0.2.2 "$HOST_IP" 10.0.2.255 255.255.255.255; do
		send_udp open "$address" "$UPORT"
	done
	refuse grep -qa from-guest "$WORK/udp"
}

@test "--net: the daemon itself is shut" {
	local port
	port=$(free_port)
	sbx up --listen "127.0.0.1:$port"
	curl -sS "http://127.0.0.1:$port/sbx/v1/health" | jq -e .status >/dev/null
	run sbx exec --timeout 5 open -- sh -c "wget -T 3 -q -O - http://10.0.2.2:$port/sbx/v1/health"
	[ "$status" -ne 0 ]
}

@test "two guests do not reach each other" {
	sbx create --name open2 --net >/dev/null
	sbx exec open2 -- sh -c '(while :; do echo from-guest | nc -l -p 7070; done) >/dev/null 2>&1 </dev/null &'
	local ip
	ip=$(sbx exec open2 -- sh -c "ip -4 addr show eth0 | sed -n 's/.*inet \([0-9.]*\).*/\1/p'")
	[ -n "$ip" ]
	wait_until 5 answers open2 127.0.0.1 7070
	refuse answers open "$ip" 7070
	sbx rm open2
}

@test "the network lives through the daemon's death, and ends with its sandbox" {
	need_ns
	kill -9 "$(daemon_pid)"
	answers open "$PEER_IP" 8080 || fail 'no way out after the daemon died'
	local nets
	nets=$(net_pids)
	[ -n "$nets" ]
	sbx rm open
	# shellcheck disable=SC2086 # a list of pids
	wait_until 5 ended $nets
}
