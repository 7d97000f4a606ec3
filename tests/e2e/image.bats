#!/usr/bin/env bats
# Images: what is known, how they are kept, and that any root filesystem works as it is.
load helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

state_of() { sbx image inspect "$1" -o json | jq -r .state; }

# A cache of its own, which starts from the shared one's downloads and facts.
private_cache() {
	mkdir -p "$WORK/$1"
	cp -a --reflink=auto "$SBX_SHARED/debs" "$SBX_SHARED/accel.json" "$WORK/$1/"
}

setup() {
	SBX_SHARED=${SBX_CACHE:-$HOME/.cache/sbx}
	export SBX_SHARED
}

@test "the recipes are listed, built or not" {
	run --separate-stderr sbx image ls
	expect_status 0
	for name in base debian code; do expect_match "(^|"$'\n'")$name +(built|unbuilt|building) " "$output"; done
	expect built "$(state_of base)"
	run --separate-stderr sbx image inspect nonsense
	expect_status 1
	expect_match "no image 'nonsense'" "$stderr"
}

@test "a build of what is current is that: the same key, at once" {
	local key
	key=$(sbx image inspect base -o json | jq -r .key)
	expect "$key" "$(sbx image build base)"
}

@test "an image says how much memory its VMs get" {
	sbx create --name plain >/dev/null
	expect 256 "$(field plain memoryMb)"
	sbx create --name more --memory 300 >/dev/null
	expect 300 "$(field more memoryMb)"
	sbx rm plain more
}

@test "the agent is not on the disk, and is process 1 where there is no systemd" {
	sbx create --name bare >/dev/null
	refuse sbx exec bare -- ls /sbin/sbx-agent
	expect /run/sbx/sbx-agent "$(sbx exec bare -- readlink /proc/1/exe)"
	expect 4 "$(sbx exec bare -- sh -c 'df -k / | awk "NR == 2 { printf \"%.0f\", \$2 / 1048576 }"')"
	sbx rm bare
}

@test "file systems and loop devices come when they are asked for" {
	sbx create --name mods >/dev/null
	expect "" "$(sbx exec mods -- sh -c 'grep -E "^(overlay|erofs|squashfs|loop) " /proc/modules')"
	sbx exec mods -- sh -c 'cd /tmp && mkdir low up work all && echo below >low/f && mount -t overlay none -o lowerdir=low,upperdir=up,workdir=work all &&
		echo above >>all/f && cat all/f low/f' >"$WORK/out"
	expect "below above below" "$(xargs <"$WORK/out")"
	expect below "$(sbx exec mods -- sh -c 'cd /tmp && { cat low/f; head -c 65536 /dev/zero; } >disk && losetup -f /tmp/disk && head -n 1 /dev/loop0')"
	# no such file system on it, but the kernel knows them now
	refuse sbx exec mods -- mount -t squashfs /dev/loop0 /srv
	refuse sbx exec mods -- mount -t erofs /dev/loop0 /srv
	expect 2 "$(sbx exec mods -- grep -cE '(squashfs|erofs)$' /proc/filesystems)"
	refuse sbx exec mods -- mount -t nonsensefs /dev/loop0 /srv
	refuse sbx exec mods -- /run/sbx/modprobe nonsense
	sbx rm mods
}

@test "a new agent makes a new kernel, and no new root filesystem" {
	private_cache agent
	cp "$TOP/build/bin/sbx-agent" "$WORK/agent-a"
	cp "$TOP/build/bin/sbx-agent" "$WORK/agent-b"
	echo >>"$WORK/agent-b"
	local home=$WORK/h1 a b
	a=$(SBX_HOME=$home SBX_CACHE=$WORK/agent SBX_AGENT=$WORK/agent-a sbx image build base)
	SBX_HOME=$home sbx down --yes
	local disk
	disk=$(stat -c '%i %Y' "$WORK"/agent/images/base-*/rootfs.ext4)
	b=$(SBX_HOME=$home SBX_CACHE=$WORK/agent SBX_AGENT=$WORK/agent-b sbx image build base)
	SBX_HOME=$home sbx down --yes
	[ "$a" != "$b" ]
	expect "$disk" "$(stat -c '%i %Y' "$WORK"/agent/images/base-*/rootfs.ext4)"
	expect 2 "$(find "$WORK/agent/kernels" -name kernel.json | wc -l)"
}

@test "a root filesystem with a shell and nothing else works as it is" {
	private_cache bare
	local home=$WORK/h2 rootfs
	export SBX_CACHE=$WORK/bare
	SBX_HOME=$home sbx image build base >/dev/null
	SBX_HOME=$home sbx down --yes
	rootfs=$(echo "$WORK"/bare/images/base-*/rootfs.ext4)
	mkdir -p "$WORK/tree/bin"
	cp /bin/busybox "$WORK/tree/bin/sh"
	for name in true echo cat ls id hostname uname sync ps touch test; do ln -s sh "$WORK/tree/bin/$name"; done
	rm -r "$WORK/bare/templates" "$rootfs"
	mke2fs -q -t ext4 -d "$WORK/tree" "$rootfs" 64M
	jq -c '.warm = ["true"]' "${rootfs%/*}/image.json" >"$WORK/json"
	cp "$WORK/json" "${rootfs%/*}/image.json"
	SBX_HOME=$home sbx create --name nothing >/dev/null
	expect "nothing 0" "$(SBX_HOME=$home sbx exec nothing -- sh -c 'echo $(hostname) $(id -u)')"
	SBX_HOME=$home sbx exec nothing -- sh -c 'touch /tmp/x && test -c /dev/pts/ptmx && test -d /proc/1 && test -s /etc/machine-id'
	SBX_HOME=$home sbx exec --user 1000 nothing -- touch /tmp/y
	SBX_HOME=$home sbx down --yes
}
