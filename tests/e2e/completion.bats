#!/usr/bin/env bats
# Completion in real shells, by typing into a terminal: bash, zsh and fish, with a running daemon for the names that it knows.
load helper

setup_file() {
	e2e_up
	export TMUX_TMPDIR=$WORK TERM=xterm-256color
	unset TMUX
	sbx create --name demo --label team=red >/dev/null
	sbx key create --name my-ci-key >/dev/null
	mkdir "$WORK/home" "$WORK/dir"
	echo '{}' >"$WORK/dir/odd name.json"
	touch "$WORK/dir/zebra.txt"
}
teardown_file() { e2e_down; }
teardown() { stop; }

STARTS=0

# ---- a shell in a window ----

# A server for each shell: one that is ending would take the next shell with it.
window() { tmux -L "sbx-$BATS_TEST_NUMBER-$STARTS" "$@"; }
stop() { window kill-server 2>/dev/null || true; }

start() { # start SHELL [LOAD]: a shell without the machine's own settings, in $WORK/dir; LOAD is the command that loads completion
	local command load
	STARTS=$((STARTS + 1))
	case $1 in
	bash) command="bash --norc --noprofile -i" ;;
	zsh) command="zsh -f -i" ;;
	fish) command="fish --no-config -i" ;;
	esac
	window -f /dev/null new-session -d -s w -x 140 -y 50 -c "$WORK/dir" \
		"env HOME=$WORK/home HISTFILE= PS1='host\$ ' $command" 3>&- 4>&-
	case $1 in
	bash)
		load=${2:-'source <(sbx completion bash)'}
		enter "bind 'set bell-style none'; bind 'set completion-query-items 1000'; bind 'set page-completions off'"
		;;
	zsh)
		load=${2:-'autoload -U compinit; compinit -u -D; source <(sbx completion zsh)'}
		enter "PS1='host\$ '; unsetopt beep"
		;;
	fish)
		load=${2:-'sbx completion fish | source'}
		enter "function fish_prompt; printf 'host\$ '; end; set -g fish_autosuggestion_enabled 0"
		;;
	esac
	enter "$load"
	enter "clear; echo rea''dy"
	await '^ready'
}
enter() {
	window send-keys -t w -l "$1"
	window send-keys -t w Enter
}
screen() { window capture-pane -p -J -t w; }
shows() { screen | grep -qE -- "$1"; }
await() {
	wait_until 10 shows "$1" || fail "no '$1' on the screen:
$(screen)"
}
fresh() { # an empty line on an empty screen
	window send-keys -t w C-c
	enter "clear; echo rea''dy"
	await '^ready'
}
tab() { # tab TEXT [TIMES]
	fresh
	window send-keys -t w -l "$1"
	await "host. $(escaped "${1% }")"
	window send-keys -t w Tab
	[ "${2:-1}" -eq 1 ] || window send-keys -t w Tab
}
escaped() { printf %s "$1" | sed 's/[][\\.*^$+?(){}|]/\\&/g'; }

# becomes TEXT LINE: TEXT and a tab become LINE (with the space behind it shown as an X typed there).
becomes() {
	tab "$1"
	await "host. $(escaped "${2% }")"
	window send-keys -t w -l X
	await "host. $(escaped "$2")X"
}
# offers TEXT WORD...: all of them are shown after two tabs.
offers() {
	tab "$1" 2
	shift
	for word in "$@"; do await "(^|[ |])$(escaped "$word")( |$)"; done
}

# What every shell must do.
in_every_shell() {
	becomes 'sbx wr' 'sbx wrenn '
	becomes 'sbx wrenn caps' 'sbx wrenn capsule '
	becomes 'sbx wrenn capsule insp' 'sbx wrenn capsule inspect '
	becomes 'sbx wrenn capsule create --mem' 'sbx wrenn capsule create --memory-mb '
	becomes 'sbx -o js' 'sbx -o json '
	becomes 'sbx ls --state run' 'sbx ls --state running '
	becomes 'sbx ls --state=run' 'sbx ls --state=running '
	becomes 'sbx exec dem' 'sbx exec demo '
	becomes 'sbx cp dem' 'sbx cp demo:'
	becomes 'sbx cp demo:/et' 'sbx cp demo:/etc/'
	becomes 'sbx cp demo:/etc/host' 'sbx cp demo:/etc/host'
	becomes 'sbx cp zeb' 'sbx cp zebra.txt '
	becomes 'sbx image build ba' 'sbx image build base '
	becomes 'sbx create --image ba' 'sbx create --image base '
	becomes 'sbx --host unix:/nowhere exec dem' 'sbx --host unix:/nowhere exec dem'
	becomes 'sbx exec demo -- cat zeb' 'sbx exec demo -- cat zebra.txt '
	becomes 'sbx exec demo -- mktem' 'sbx exec demo -- mktemp '
	becomes 'sbx wrenn capsule create --input zeb' 'sbx wrenn capsule create --input zebra.txt '
	becomes 'sbx wrenn capsule create --input=zeb' 'sbx wrenn capsule create --input=zebra.txt '
	becomes 'sbx wrenn capsule create --input odd' "sbx wrenn capsule create --input odd\\ name.json "
	becomes 'sbx completion fi' 'sbx completion fish '
	offers 'sbx ls --state ' creating running pausing paused stopped deleting
	offers 'sbx wrenn ' capsule snapshot channel
	offers 'sbx exec --' --stdin --workdir --timeout --output
}

@test "bash completes commands, options, values, files and living names" {
	start bash
	in_every_shell
	becomes 'sbx key rm my' 'sbx key rm my-ci-key '
	becomes 'sbx exec "dem' 'sbx exec "demo" '
	becomes 'true; SBX_LOG=x sbx wr' 'true; SBX_LOG=x sbx wrenn '
}

@test "bash completes the same where ':' and '=' break no words, and with bash-completion" {
	start bash
	enter "COMP_WORDBREAKS=\${COMP_WORDBREAKS//[:=]/}"
	becomes 'sbx cp demo:/et' 'sbx cp demo:/etc/'
	becomes 'sbx ls --state=run' 'sbx ls --state=running '
	stop
	start bash
	enter "source /usr/share/bash-completion/bash_completion; source <(sbx completion bash)"
	becomes 'sbx cp demo:/et' 'sbx cp demo:/etc/'
	becomes 'sbx wrenn caps' 'sbx wrenn capsule '
}

@test "zsh completes commands, options, values, files and living names" {
	start zsh
	in_every_shell
	becomes 'sbx key rm my' 'sbx key rm my-ci-key '
	offers 'sbx image ' 'List images'
}

@test "fish completes commands, options, values, files and living names" {
	start fish
	in_every_shell
	becomes 'sbx key rm my' 'sbx key rm my-ci-key '
	tab 'sbx image ' 2
	await '\(List images\)'
}

@test "the shells find the scripts where install puts them" {
	local share=$WORK/root/share shell
	make -C "$TOP" --no-print-directory install DESTDIR="$WORK" PREFIX=/root >/dev/null
	for shell in bash zsh fish; do
		case $shell in
		bash) start bash "export XDG_DATA_DIRS=$share; source /usr/share/bash-completion/bash_completion" ;;
		zsh) start zsh "fpath=($share/zsh/site-functions \$fpath); autoload -U compinit; compinit -u -D" ;;
		fish) start fish "set -p fish_complete_path $share/fish/vendor_completions.d" ;;
		esac
		becomes 'sbx wr' 'sbx wrenn '
		becomes 'sbx cp demo:/et' 'sbx cp demo:/etc/'
		stop
	done
}

@test "the answer is quick, says nothing on stderr and starts no daemon" {
	local home=$WORK/none
	for words in 'exec ' 'cp ' 'key rm ' 'rm ' 'image build ' 'nosuch ' 'wrenn nosuch ' '-- ' '--nosuch ' ''; do
		# shellcheck disable=SC2086 # words
		SBX_HOME=$home run --separate-stderr within 150 sbx __complete $words ''
		expect_status 0
		expect '' "$stderr"
	done
	[ ! -e "$home/sbxd.sock" ]
	# one that listens and never answers, or a host that is not there, holds nobody up
	mkdir "$home"
	python3 -c 'import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(30)' \
		"$home/sbxd.sock" 3>&- 4>&- &
	local mute=$!
	wait_until 5 test -S "$home/sbxd.sock"
	SBX_HOME=$home run --separate-stderr within 1000 sbx __complete exec ''
	kill "$mute"
	expect_status 0
	expect ':' "$output"
	expect '' "$stderr"
	run --separate-stderr within 1000 sbx __complete --host http://198.51.100.1:81 exec ''
	expect_status 0
	expect '' "$stderr"
}

@test "an unknown shell is refused with the list" {
	run --separate-stderr sbx completion csh
	expect_status 2
	expect_match 'bash, zsh, fish' "$stderr"
}
