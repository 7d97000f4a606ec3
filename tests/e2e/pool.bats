#!/usr/bin/env bats
# The pool: VMs that have run a command and wait, their processors held, for a create of their shape.
# shellcheck disable=SC2030,SC2031 # each test is a process of its own
load helper

setup_file() {
	e2e_up_plain
	export SBX_POOL=2
	timeout 300 sbx image build base >/dev/null 2>&1 3>&-
}
teardown_file() { e2e_down; }
teardown() { remove_all; }

remove_all() {
	local ids
	ids=$(sbx ls -o json | jq -r '.[].id')
	# shellcheck disable=SC2086 # a list
	[ -z "$ids" ] || sbx rm $ids >/dev/null
}

pooled() { sbx ls --pool -o json | jq -r '.[] | select(.state == "pooled") | .id'; }
waiting() { [ "$(pooled | wc -l)" -ge "$1" ]; }

@test "after a first create as many wait as are wanted; lists show them on request only" {
	sbx create --name first
	wait_until 60 waiting 2
	[ "$(sbx ls -o json | jq length)" -eq 1 ]
	[ "$(sbx ls --pool -o json | jq length)" -eq 3 ]
	run -0 sbx ls --pool
	[[ $output == *pooled* ]]
}

@test "a create takes one, under its name, and another takes its place" {
	sbx create --name first
	wait_until 60 waiting 2
	before=$(pooled)
	id=$(sbx create --name second --env COLOUR=red --label a=b)
	[[ $before == *"$id"* ]]
	run -0 sbx exec second -- sh -c 'hostname; echo $COLOUR; id -u'
	[ "$output" = $'second\nred\n0' ]
	[ "$(sbx inspect second -o json | jq -r 'if type == "array" then .[0] else . end | .labels.a')" = b ]
	wait_until 60 waiting 2
	[[ $(pooled) != *"$id"* ]]
}

@test "those that were pooled differ in all that must differ" {
	sbx create --name first
	wait_until 60 waiting 2
	for n in a b; do sbx create --name "$n"; done
	for what in 'cat /etc/machine-id' 'hostname' 'cat /sys/class/net/eth0/address' 'head -c 16 /dev/urandom | sha256sum'; do
		[ "$(sbx exec a -- sh -c "$what")" != "$(sbx exec b -- sh -c "$what")" ]
	done
	now=$(date +%s)
	there=$(sbx exec a -- date +%s)
	[ $((there - now)) -le 2 ] && [ $((now - there)) -le 2 ]
}

@test "one that waits takes no processor time" {
	sbx create --name first
	wait_until 60 waiting 2
	pid=$(sbx ls --pool -o json | jq -r '[.[] | select(.state == "pooled") | .pid][0]')
	before=$(awk '{print $14 + $15}' "/proc/$pid/stat")
	sleep 2 # of waiting is what is looked at
	[ $(($(awk '{print $14 + $15}' "/proc/$pid/stat") - before)) -le 1 ]
}

@test "another shape is not served from it, nor one with a network" {
	sbx create --name first
	wait_until 60 waiting 2
	before=$(pooled)
	for options in --net '--memory 320'; do
		# shellcheck disable=SC2086 # words
		id=$(sbx create $options)
		[[ $before != *"$id"* ]]
	done
}

@test "a name that is taken costs no pooled one" {
	sbx create --name first
	wait_until 60 waiting 2
	before=$(pooled)
	run -1 sbx create --name first
	# more of them may have come meanwhile
	expect '' "$(comm -23 <(sort <<<"$before") <(pooled | sort))"
}

@test "kill -9 of the daemon: the next one has none of them running, and fills again on demand" {
	sbx create --name first
	wait_until 60 waiting 2
	pids=$(sbx ls --pool -o json | jq -r '.[] | select(.state == "pooled") | .pid')
	kill -9 "$(daemon_pid)"
	sbx ls >/dev/null
	for pid in $pids; do wait_until 10 ended "$pid"; done
	[ -z "$(pooled)" ]
	sbx exec first -- true
	sbx create --name second
	wait_until 60 waiting 2
}

@test "killed while it waits, one is replaced" {
	sbx create --name first
	wait_until 60 waiting 2
	id=$(pooled | head -1)
	kill -9 "$(sbx ls --pool -o json | jq -r ".[] | select(.id == \"$id\") | .pid")"
	gone() { [[ $(pooled) != *"$id"* ]]; }
	wait_until 10 gone
	wait_until 60 waiting 2
}

@test "the configuration file says how many wait, unless the environment does" {
	export SBX_HOME=$BATS_TEST_TMPDIR/h SBX_CONFIG=$BATS_TEST_TMPDIR/c.yaml
	unset SBX_POOL
	echo 'pool: {size: 1}' >"$SBX_CONFIG"
	sbx create >/dev/null
	wait_until 60 waiting 1
	[ "$(sbx config view -o json | jq -r '.[] | select(.key == "pool.size") | .value')" = 1 ]
	sleep 1 # for a second one, which must not come
	[ "$(sbx ls --pool -o json | jq length)" -eq 2 ]
	sbx down --yes
	echo 'pool: {size: many}' >"$SBX_CONFIG"
	run -1 sbx create
	[[ $output == *"c.yaml:1"* ]]
}
