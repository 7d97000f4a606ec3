#!/usr/bin/env bats
# sbx pty in a real terminal (tmux): size, detach, reattach, several clients, the terminal restored.
load helper

setup_file() {
	e2e_up
	export TMUX_TMPDIR=$WORK TERM=xterm-256color
	unset TMUX
	sbx create --name demo >/dev/null
}
teardown_file() {
	tmux -L sbx kill-server 2>/dev/null || true
	e2e_down
}

teardown() {
	tmux -L sbx kill-server 2>/dev/null || true
}

# The shell in a tmux window of 100 x 30 characters, prompt `host$ `.
window() { # window NAME
	tmux -L sbx -f /dev/null new-session -d -s "$1" -x 100 -y 30 "env HISTFILE= PS1='host\$ ' bash --norc --noprofile -i" 3>&- 4>&-
	wait_until 5 shows "$1" 'host\$'
}
keys() { # keys NAME KEYS...
	local name=$1
	shift
	tmux -L sbx send-keys -t "$name" "$@"
}
typed() { # typed NAME TEXT: as typed, with Enter
	tmux -L sbx send-keys -t "$1" -l "$2"
	tmux -L sbx send-keys -t "$1" Enter
}
screen() { tmux -L sbx capture-pane -p -J -S -500 -t "$1"; }
shows() { screen "$1" | grep -qE "$2"; }
await() { # await NAME REGEX
	wait_until 10 shows "$1" "$2" || fail "no '$2' on the screen of $1:
$(screen "$1")"
}
last_line() { screen "$1" | sed '/^ *$/d' | tail -n 1; }
prompt_is() { [[ $(last_line "$1") =~ ^[^\ ]*\ *$2\ *$ ]]; }
# Whose prompt it waits at: what is typed before that may go to the other side, or nowhere. Older prompts on the screen do not count.
at_guest() { wait_until 10 prompt_is "$1" '#' || fail "not at the guest's prompt: $(screen "$1")"; }
at_host() { wait_until 10 prompt_is "$1" 'host\$' || fail "not at the host's prompt: $(screen "$1")"; }
detach() { # detach NAME: newline, then ~.
	keys "$1" Enter
	keys "$1" -l '~.'
	at_host "$1"
	typed "$1" 'echo back-$((40+2))'
	await "$1" '^back-42'
}
client() { # client SESSION: pid of the sbx that is attached to it
	local pid
	for pid in $(our_processes); do
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qE "^[^ ]*sbx pty .*--session $1 " && echo "$pid"
	done
}
close_window() { tmux -L sbx kill-session -t "$1"; }

@test "a command gets a terminal of the window's size and its code comes back" {
	window w
	typed w 'sbx pty demo -- sh -c "stty size; test -t 0 && echo istty; exit 7"; echo code=$?'
	await w '^30 100'
	await w '^istty'
	await w '^code=7'
}

@test "an interactive shell: typing, Ctrl-C, exit code" {
	window w
	typed w 'sbx pty demo; echo code=$?'
	at_guest w
	typed w 'echo sum-$((20+3))'
	await w '^sum-23'
	typed w 'sleep 617'
	sleep 0.3
	keys w C-c
	typed w 'echo alive-$((1+1))'
	await w '^alive-2'
	typed w 'exit 5'
	await w '^code=5'
}

@test "the window's size is followed" {
	window w
	typed w 'sbx pty demo'
	at_guest w
	typed w 'stty size'
	await w '^30 100'
	tmux -L sbx resize-window -t w -x 132 -y 43
	wait_until 5 resized w '43 132'
	tmux -L sbx resize-window -t w -x 60 -y 20
	wait_until 5 resized w '20 60'
	typed w exit
}
resized() {
	typed "$1" 'stty size'
	sleep 0.2
	shows "$1" "^$2"
}

@test "detach with ~., and come back to what was missed" {
	window w
	typed w 'sbx pty demo --session s1'
	at_guest w
	typed w 'echo before-$((2+1)); (sleep 1; echo missed-$((4+4))) &'
	await w '^before-3'
	detach w
	sleep 1.2
	refuse shows w '^missed-8'
	typed w 'clear'
	typed w 'sbx pty demo --session s1; echo code=$?'
	await w 'missed-8'
	await w 'before-3'
	typed w 'echo again-$((5+5))'
	await w '^again-10'
	typed w 'exit 3'
	await w '^code=3'
}

@test "a session outlives a client that is killed" {
	window w
	typed w 'sbx pty demo --session s2'
	at_guest w
	typed w 'V=kept-$((6+6))'
	close_window w
	window x
	typed x 'sbx pty demo --session s2; echo code=$?'
	await x 'root@demo'
	typed x 'echo $V'
	await x '^kept-12'
	typed x exit
}

@test "several clients share a session, and both are listed" {
	window a
	window b
	typed a 'sbx pty demo --session s3'
	at_guest a
	typed b 'sbx pty demo --session s3'
	at_guest b
	typed a 'echo from-a-$((7+7))'
	await a '^from-a-14'
	await b '^from-a-14'
	typed b 'echo from-b-$((8+8))'
	await a '^from-b-16'
	expect_match 's3' "$(sbx pty demo --list)"
	expect 2 "$(sbx pty demo --list -o json | jq -r '(.sessions? // .)[] | select(.session == "s3") | .clients')"
	detach b
	typed a 'echo still-$((9+9))'
	await a '^still-18'
	typed a exit
	await a 'host\$ ?$'
}

@test "an escape that is changed or off" {
	window w
	typed w 'sbx pty demo --session s4 --escape none'
	at_guest w
	keys w Enter
	typed w '~.'
	await w '[#$] ~\.'
	typed w 'echo inside-$(hostname)'
	await w '^inside-demo|^inside-[a-z0-9-]+'
	typed w exit
	at_host w
	typed w "sbx pty demo --session s5 --escape %"
	at_guest w
	keys w Enter
	keys w -l '%.'
	at_host w
	typed w 'echo out-$((3*3))'
	await w '^out-9'
}

@test "a doubled escape types one; an escape not after a newline is text" {
	window w
	typed w 'sbx pty demo'
	at_guest w
	typed w 'echo x~.y'
	await w '^x~\.y'
	keys w -l '~~'
	typed w 'tail'
	await w '[#$] ~tail'
	typed w exit
}

@test "the terminal is restored on every way out" {
	window w
	typed w 'stty -a >'"$WORK"'/before'
	wait_until 5 test -s "$WORK/before"
	local way
	for way in exit detach term hup rm; do
		case $way in rm) sbx create --name doomed >/dev/null ;; esac
		typed w "clear; sbx pty $([ $way = rm ] && echo doomed || echo demo) --session t-$way"
		at_guest w
		sleep 0.2
		case $way in
		exit) typed w exit ;;
		detach) detach w ;;
		term) kill -TERM "$(client "t-$way")" ;;
		hup) kill -HUP "$(client "t-$way")" ;;
		rm) sbx rm -f doomed ;;
		esac
		await w 'host\$ ?$'
		rm -f "$WORK/after"
		typed w "stty -a >$WORK/after"
		wait_until 5 test -s "$WORK/after"
		diff "$WORK/before" "$WORK/after" || fail "after $way"
	done
}

@test "bytes pass unchanged both ways: UTF-8, control characters" {
	window w
	typed w 'sbx pty demo'
	at_guest w
	typed w "printf 'gr\\303\\274n \\342\\234\\223\\n'"
	await w 'grün ✓'
	keys w -l 'cat'
	keys w Enter
	typed w 'zwölf'
	await w '^zwölf'
	keys w C-d
	typed w 'exit'
}

@test "a window that is flooded still obeys Ctrl-C" {
	window w
	typed w 'sbx pty demo; echo code=$?'
	at_guest w
	typed w 'while :; do echo flood; done'
	await w '^flood'
	sleep 0.5
	keys w C-c
	typed w 'clear; echo calm-$((5*5))'
	wait_until 10 shows w '^calm-25'
	typed w exit
	await w '^code='
}

@test "no such sandbox: an error, and the terminal as before" {
	window w
	typed w 'sbx pty nosuch; echo code=$?'
	await w 'nosuch'
	await w '^code=1'
}
