#!/usr/bin/env bats
# The way to a user: quickstart, install and uninstall, a second build that has nothing to do, the README's tour.
load helper

setup_file() {
	e2e_up
	unset MAKEFLAGS MFLAGS MAKELEVEL
}
teardown_file() { e2e_down; }

@test "quickstart shows a command that ran in a microVM, and leaves no VM" {
	run timeout 300 "$TOP/mk/quickstart.sh" "$TOP/build/bin" 3>&-
	expect_status 0
	expect_match 'hello from' "$output"
	expect_match 'ms\)' "$output"
	expect '' "$(ids)"
}

@test "install puts a working sbx anywhere, uninstall takes all of it away" {
	make -C "$TOP" --no-print-directory install DESTDIR="$WORK/root" PREFIX=/opt/sbx >/dev/null
	local home
	home=$(mktemp -d /tmp/sbx-e.XXXXXX)
	expect hi "$(SBX_HOME=$home "$WORK/root/opt/sbx/bin/sbx" run -- echo hi 3>&-)"
	SBX_HOME=$home "$WORK/root/opt/sbx/bin/sbx" down --yes
	rm -rf "$home"
	make -C "$TOP" --no-print-directory uninstall DESTDIR="$WORK/root" PREFIX=/opt/sbx >/dev/null
	expect '' "$(find "$WORK/root" ! -type d)"
}

@test "a second make has nothing to do; help lists the targets" {
	make -C "$TOP" --no-print-directory all >/dev/null
	expect '' "$(make -C "$TOP" --no-print-directory all | grep -E '^  (CC|LD|GEN)')"
	for target in all quickstart check bench lint install uninstall clean deps; do
		expect_match "make $target " "$(make -C "$TOP" --no-print-directory help)"
	done
}

@test "the programs are hardened" {
	local program
	for program in sbx sbxd sbx-net; do
		readelf -h "$TOP/build/bin/$program" | grep -q 'DYN'
		readelf -d "$TOP/build/bin/$program" | grep -q 'BIND_NOW'
		readelf -lW "$TOP/build/bin/$program" | grep -q 'GNU_RELRO'
		readelf -sW "$TOP/build/bin/$program" | grep -q '__stack_chk_fail'
		refuse grep -q 'RWE' <(readelf -lW "$TOP/build/bin/$program")
	done
	refuse grep -q 'INTERP' <(readelf -lW "$TOP/build/bin/sbx-agent")
}

@test "the tour of the README works as it stands" {
	# Lines of the tour that need no terminal, run as they are printed.
	sed -n '/^## A tour/,/^Every command/p' "$TOP/README.md" | grep -E '^    (sbx|tar|export)' | grep -v 'sbx pty' >"$WORK/tour"
	[ "$(wc -l <"$WORK/tour")" -ge 7 ]
	cd "$TOP"
	while read -r line; do
		run timeout 60 bash -c "$line" 3>&- 4>&- </dev/null
		case $line in
		*'exit 3'*) expect_status 3 ;;
		*) [ "$status" -eq 0 ] || fail "$line: $status: $output" ;;
		esac
	done <"$WORK/tour"
}
