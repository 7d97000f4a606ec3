#!/usr/bin/env bats
# The life of sandboxes, with the daemon and the VMMs killed at random moments of it. SBX_ROUNDS for more, SBX_SEED to repeat a run.
load ../e2e/helper

setup_file() { e2e_up; }
teardown_file() { e2e_down; }

@test "kill -9 of the daemon or of VMMs in the middle of pause, resume, fork, stop, start and rm" {
	python3 "$TOP/tests/fault/life_kill.py" "${SBX_ROUNDS:-15}" "${SBX_SEED:-$RANDOM}"
}
