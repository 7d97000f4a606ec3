#!/usr/bin/env bats
# Image debian: systemd is process 1 and the agent its service. Built once in the shared cache: a minute, and Debian's archive.
load helper

setup_file() {
	e2e_up_plain
	[ "$(id -u)" -eq 0 ] || skip "only root can build it"
	timeout 1500 sbx image build debian >/dev/null 2>"$WORK/build" 3>&- || {
		cat "$WORK/build" >&2
		return 1
	}
	sbx create --image debian --name deb >/dev/null
}
teardown_file() { e2e_down; }

in_deb() { sbx exec deb -- "$@"; }

@test "systemd runs, with nothing failed, and the agent below it" {
	expect systemd "$(in_deb cat /proc/1/comm)"
	expect running "$(in_deb systemctl is-system-running)"
	expect active "$(in_deb systemctl is-active sbx-agent)"
	expect 12 "$(in_deb sh -c '. /etc/os-release; echo $VERSION_ID')"
	expect 512 "$(field deb memoryMb)"
}

@test "nothing wakes it up by the clock, and the journal is in memory" {
	expect "" "$(in_deb systemctl list-timers --no-legend)"
	expect "" "$(in_deb sh -c 'ls /var/log/journal 2>/dev/null')"
	in_deb logger -t sbx-test "heard $BATS_TEST_NUMBER"
	expect_match "sbx-test.*heard $BATS_TEST_NUMBER" "$(in_deb journalctl --no-pager -t sbx-test)"
}

@test "the programs that people expect are there, manuals are not" {
	in_deb bash -c 'for p in git curl python3 tmux ps sudo ip less ping; do command -v "$p" >/dev/null || { echo "no $p"; exit 1; }; done'
	expect 42 "$(in_deb python3 -c 'print(6 * 7)')"
	expect "" "$(in_deb find /usr/share/man /usr/share/locale /var/lib/apt/lists -type f ! -name lock)"
	in_deb test -s /usr/share/doc/bash/copyright
	expect 8 "$(in_deb sh -c 'df -k --output=size / | tail -n 1 | awk "{ printf \"%.0f\", \$1 / 1048576 }"')"
}

@test "user may become root, and root's files are root's" {
	expect "1000 /home/user" "$(sbx exec --user user deb -- sh -c 'echo $(id -u) $HOME')"
	expect 0 "$(sbx exec --user user deb -- sudo -n id -u)"
	refuse sbx exec --user user deb -- cat /etc/shadow
	expect "4755 root" "$(in_deb stat -c '%a %U' /usr/bin/sudo)"
	expect "user user" "$(in_deb stat -c '%U %G' /home/user/.bashrc)"
	expect_match cap_net_raw "$(in_deb python3 -c 'import os; print("cap_net_raw" if os.getxattr("/usr/bin/ping", "security.capability") else "")')"
}

@test "two of them differ in name, machine-id and random numbers" {
	sbx create --image debian --name deb2 >/dev/null
	local what='cat /etc/machine-id /proc/sys/kernel/random/uuid; hostname; cat /sys/class/net/eth0/address'
	in_deb sh -c "$what" >"$WORK/one"
	sbx exec deb2 -- sh -c "$what" >"$WORK/two"
	expect 4 "$(grep -c . "$WORK/one")"
	expect "" "$(grep -Fx -f "$WORK/one" "$WORK/two")"
	sbx rm deb2
}

@test "the agent may be started again: what ran goes on, and commands come through" {
	in_deb sh -c 'setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/tmp/sleeper'
	local old
	old=$(in_deb systemctl show sbx-agent -p MainPID --value)
	run sbx exec deb -- systemctl restart sbx-agent # its own connection goes with the agent
	again() { sbx exec deb -- true; }
	wait_until 15 again
	[ "$(in_deb systemctl show sbx-agent -p MainPID --value)" != "$old" ]
	in_deb sh -c 'kill -0 $(cat /tmp/sleeper)'
}

@test "a terminal in it is a terminal" {
	run --separate-stderr sbx exec -t deb -- sh -c 'test -t 0 && tty'
	expect_match '/dev/pts/[0-9]+' "$output"
}

@test "stop lets systemd shut down: what was written last is on the disk at the next start" {
	sbx create --image debian --name stopped >/dev/null
	sbx exec stopped -- sh -c 'head -c 3000000 /dev/urandom > /root/late; sha256sum /root/late' >"$WORK/sum"
	sbx exec stopped -- sh -c 'mkdir /app && echo here > /app/file'
	timeout 100 sbx stop stopped
	timeout 250 sbx start stopped
	expect "$(cat "$WORK/sum")" "$(sbx exec stopped -- sha256sum /root/late)"
	expect here "$(sbx exec stopped -- cat /app/file)"
	expect running "$(sbx exec stopped -- systemctl is-system-running --wait)"
	sbx rm stopped
}
