#!/usr/bin/env bats
# Wrenn's capsules, with the daemon killed at random moments under load. SBX_ROUNDS for more, SBX_SEED to repeat a run.
load ../e2e/helper

setup_file() { SBX_PASSWORD_COST=4 e2e_up; }
teardown_file() { e2e_down; }

@test "kill -9 of the daemon while clients create, pause, resume, snapshot and delete capsules" {
	python3 "$TOP/tests/fault/wrenn_kill.py" "${SBX_ROUNDS:-8}" "${SBX_SEED:-$RANDOM}"
}

@test "kill -9 of a control plane or of one of its two hosts, under the same load" {
	SBX_HOST_LOST=3 SBX_HOME=$(mktemp -d "$WORK/control.XXXXXX") python3 "$TOP/tests/fault/wrenn_kill.py" "${SBX_ROUNDS:-6}" "${SBX_SEED:-$RANDOM}" 2
}
