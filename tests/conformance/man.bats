#!/usr/bin/env bats
# The manual: mandoc has nothing to say about it, all commands and options are in it, it can be read, installed and removed.
bats_require_minimum_version 1.5.0

setup_file() {
	TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	MAN=$TOP/build/man
	export TOP MAN
	export PATH=$TOP/build/bin:$PATH MANWIDTH=100 LC_ALL=C.UTF-8
	unset MAKEFLAGS MFLAGS MAKELEVEL
}

# read_page SECTION NAME: as text without overstriking
read_page() { mandoc -T utf8 -O width=200 "$MAN/man$1/$2.$1" | col -bx; }

# has TEXT WORD WHERE
has() {
	[[ $1 == *"$2"* ]] || { echo "no '$2' in $3" >&2; return 1; }
}

@test "mandoc's lint says nothing about any page" {
	run mandoc -T lint "$MAN"/man?/*
	[ "$status" -eq 0 ] && [ -z "$output" ] || { echo "$output" >&2; false; }
	[ "$(find "$MAN" -name '*.[158]' | wc -l)" -gt 60 ]
}

@test "groff has no warnings either, and man shows the pages" {
	local page
	for page in "$MAN"/man1/sbx.1 "$MAN"/man1/sbx-exec.1 "$MAN"/man1/sbx-wrenn.1 "$MAN"/man1/sbx-wrenn-capsule.1 \
		"$MAN"/man5/sbx.yaml.5 "$MAN"/man8/sbxd.8; do
		run --separate-stderr man --warnings=w -l "$page"
		[ "$status" -eq 0 ] && [ -z "$stderr" ] || { echo "$page: $stderr" >&2; false; }
		has "$output" 'NAME' "$page"
	done
}

@test "every operation of the contracts is in the page of its noun, with its options" {
	python3 - "$TOP" <<-'END'
		import pathlib, re, subprocess, sys
		top = pathlib.Path(sys.argv[1])
		sbx, man = top / "build/bin/sbx", top / "build/man/man1"
		def words(*a):  # of a completion: the tables' own word on what there is
		    out = subprocess.run([sbx, "__complete", *a], capture_output=True, text=True, check=True).stdout
		    return [line.split("\t")[0] for line in out.splitlines() if not line.startswith(":")]
		count, wrong = 0, []
		for contract in "wrenn voidrun freestyle mcp-v8 molecule".split():
		    for noun in words(contract, ""):
		        page = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=200", man / f"sbx-{contract}-{noun}.1"],
		                              capture_output=True, text=True, check=True).stdout
		        page = re.sub(".\b", "", page)
		        parts = dict(re.findall(r"^   (\S+)\n(.*?)(?=^   \S|^\S)", page, re.S | re.M))
		        for verb in words(contract, noun, ""):
		            count += 1
		            help = subprocess.run([sbx, contract, noun, verb, "--help"], capture_output=True, text=True, check=True).stdout
		            own = help.split("\nOptions:\n")[1].split("\n\n")[0] if "\nOptions:\n" in help else ""
		            api = re.search(r"^API: (.*)", help, re.M)[1]
		            part = parts.get(verb, "")
		            for text in [f"sbx {contract} {noun} {verb}", api] + re.findall(r"^  (--\S+)", own, re.M):
		                if text not in part:
		                    wrong.append(f"sbx-{contract}-{noun}(1), {verb}: no {text}")
		specs = sum(len(re.findall(r"^ +operationId:", p.read_text(), re.M)) for p in (top / "shared/specs").glob("*.yaml") if p.stem != "sbx")
		print(count, "operations;", specs, "in the contracts")
		print("\n".join(wrong))
		sys.exit(bool(wrong) or count != specs)
	END
}

@test "every hand-written command has its page with all of its options" {
	local words page text option
	while IFS=$'\t' read -r -a words; do
		page=sbx-${words[0]}
		text=$(read_page 1 "$page")
		has "$text" "sbx ${words[*]}" "$page"
		while read -r option; do has "$text" "$option" "$page"; done < <(sbx "${words[@]}" --help | grep -oE -- ' --[a-z-]+')
	done < <(sbx --help | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^  ([a-z]+)( ([a-z]+))? .*/\1\t\3/p' | sed 's/\t$//')
	text=$(read_page 8 sbxd)
	while read -r option; do has "$text" "$option" sbxd; done < <(sbxd --help | grep -oE -- '--[a-z-]+')
}

@test "a page that is named exists" {
	local name
	while read -r name; do
		compgen -G "$MAN/man?/$name" >/dev/null || { echo "no page $name" >&2; false; }
	done < <(cat "$MAN"/man?/* | tr -d '\\&' | grep -oE '(fB|Sy )sbx[a-z0-9.-]*(fR)?\([158]\)' |
		sed -E 's/^(fB|Sy )//; s/fR//; s/\(([158])\)/.\1/' | sort -u)
}

@test "the pages of one source are always the same, and are made again only when something changed" {
	local out=$BATS_TEST_TMPDIR/man
	"$TOP/build/bin/sbxman" "$TOP/man" "$out" "$(sed -n 's/^\.Dd //p' "$MAN/man1/sbx.1")"
	diff -r -x .made "$MAN" "$out"
	make -C "$TOP" --no-print-directory all >/dev/null
	run make -C "$TOP" --no-print-directory all
	[[ $output != *MAN* ]]
}

@test "install puts manual and completion in place, uninstall takes them away" {
	local root=$BATS_TEST_TMPDIR/root
	make -C "$TOP" --no-print-directory install DESTDIR="$root" PREFIX=/opt/sbx >/dev/null
	diff -r -x .made "$MAN" "$root/opt/sbx/share/man"
	man -M "$root/opt/sbx/share/man" sbx-wrenn-capsule | grep -q capsule
	cmp "$TOP/completions/sbx.bash" "$root/opt/sbx/share/bash-completion/completions/sbx"
	cmp "$TOP/completions/_sbx" "$root/opt/sbx/share/zsh/site-functions/_sbx"
	cmp "$TOP/completions/sbx.fish" "$root/opt/sbx/share/fish/vendor_completions.d/sbx.fish"
	make -C "$TOP" --no-print-directory uninstall DESTDIR="$root" PREFIX=/opt/sbx >/dev/null
	[ -z "$(find "$root" ! -type d)" ]
	make -C "$TOP" --no-print-directory install DESTDIR="$root" PREFIX=/opt/sbx MANDIR=/docs/man >/dev/null
	[ -f "$root/docs/man/man8/sbxd.8" ]
	make -C "$TOP" --no-print-directory uninstall DESTDIR="$root" PREFIX=/opt/sbx MANDIR=/docs/man >/dev/null
	[ -z "$(find "$root" ! -type d)" ]
}
