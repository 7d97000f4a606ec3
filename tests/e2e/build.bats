#!/usr/bin/env bats
# Images from Dockerfiles: built in a microVM, step by step, each step kept.

load helper

setup_file() {
	e2e_up
}

teardown_file() {
	e2e_down
}

setup() {
	DIR=$BATS_TEST_TMPDIR/ctx
	mkdir -p "$DIR"
	cd "$DIR" || return
}

# What is said of a build that succeeds goes to $said, its outcome to $output.
build() {
	timeout 120 sbx image build "$@" 2>"$BATS_TEST_TMPDIR/said"
}

said() {
	grep -F -- "$1" "$BATS_TEST_TMPDIR/said" || { cat "$BATS_TEST_TMPDIR/said" >&2; return 1; }
}

no_sandboxes() {
	[ "$(sbx ls -o json | jq length)" -eq 0 ] || { sbx ls >&2; cat "$BATS_TEST_TMPDIR/said" >&2; return 1; }
}

small_context() {
	mkdir -p app/sub
	echo one >app/one
	echo keep >app/sub/keep
	echo no >app/no.tmp
	echo log >app/sub/x.log
	echo back >app/sub/important.log
	ln -s sub/keep app/link
	chmod 755 app/sub/keep
	printf '*/*.tmp\n**/*.log\n!app/sub/important.log\n' >.dockerignore
	cat >Dockerfile <<-'END'
		# which image
		ARG base=base
		FROM ${base}
		ARG who=world
		ENV GREETING="hello $who" \
		    OTHER=two\ words
		LABEL maker=us version="1 2"
		WORKDIR /srv/app
		COPY app .
		COPY --chown=1000:1001 --chmod=640 app/one /etc/two
		RUN echo "$GREETING" > greeting && id -u > uid
		USER nobody
		EXPOSE 8080 53/udp
		CMD ["cat", "greeting"]
	END
}

@test "a Dockerfile becomes an image, with files, owners, modes and configuration" {
	small_context
	run -0 build -t app:1 --build-arg who=you .
	[ "$output" = app:1 ]
	run -0 sbx run --image app:1 -- sh -c 'pwd; id -un; echo "$GREETING,$OTHER"; cat greeting uid /srv/app/link; find . | sort'
	[ "${lines[0]}" = /srv/app ]
	[ "${lines[1]}" = nobody ]
	[ "${lines[2]}" = "hello you,two words" ]
	[ "${lines[3]}" = "hello you" ]
	[ "${lines[4]}" = 0 ]
	[ "${lines[5]}" = keep ]
	[ "${lines[*]:6}" = ". ./greeting ./link ./one ./sub ./sub/important.log ./sub/keep ./uid" ]
	run -0 sbx run --image app:1 -- stat -c '%a %u:%g' sub/keep /etc/two /srv/app
	[ "$output" = $'755 0:0\n640 1000:1001\n755 0:0' ]
	run -0 sbx image inspect app:1 -o json
	[ "$(jq -c '.config | [.user, .workdir, .cmd, .exposedPorts, .labels, .env.OTHER]' <<<"$output")" = \
		'["nobody","/srv/app",["cat","greeting"],["8080/tcp","53/udp"],{"maker":"us","version":"1 2"},"two words"]' ]
	no_sandboxes
}

@test "what has not changed is not done again, and what has, from there on" {
	small_context
	run -0 build -t again:1 .
	run -0 sbx image inspect again:1 -o json
	digest=$(jq -r .digest <<<"$output")
	run -0 build -t again:2 .
	[ "$(grep -c CACHED "$BATS_TEST_TMPDIR/said")" -eq 4 ]
	run -0 sbx image inspect again:2 -o json
	[ "$(jq -r .digest <<<"$output")" = "$digest" ]

	# a file that is left out, and a time, are nothing to it
	echo other >app/no.tmp
	touch app/one
	run -0 build -t again:3 .
	[ "$(grep -c CACHED "$BATS_TEST_TMPDIR/said")" -eq 4 ]

	echo changed >app/sub/keep
	run -0 build -t again:4 .
	said "CACHED WORKDIR /srv/app"
	[ "$(grep -c CACHED "$BATS_TEST_TMPDIR/said")" -eq 1 ]
	run -0 sbx run --image again:4 -- cat /srv/app/link
	[ "$output" = changed ]

	run -0 build -t again:5 --no-cache .
	run ! grep CACHED "$BATS_TEST_TMPDIR/said"
	no_sandboxes
}

@test "a command that fails is named with its line and exit code, and leaves nothing" {
	printf 'FROM base\nRUN true\n\nRUN echo before; \\\n  exit 7\n' >Dockerfile
	run -1 build -t fails .
	said "Dockerfile:4: RUN ended with exit code 7"
	said before
	no_sandboxes
	run -1 sbx image inspect fails
	# what was done before stays done
	printf 'FROM base\nRUN true\nRUN echo mended\n' >Dockerfile
	run -0 build -t fails .
	said "CACHED RUN true"
}

@test "an interruption during a command ends the build and leaves nothing" {
	printf 'FROM base\nRUN echo begun; sleep 1000\n' >Dockerfile
	(exec sbx image build -t never . >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/said" 3>&-) &
	pid=$!
	wait_until 60 grep -qx begun "$BATS_TEST_TMPDIR/said"
	kill -TERM "$pid"
	local status=0
	wait "$pid" || status=$?
	[ "$status" -eq 1 ]
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	no_sandboxes
	run -1 sbx image inspect never
}

@test "stages: files of one go into another, with their owners" {
	echo inside >file
	tar czf archive.tgz file
	cat >Dockerfile <<-'END'
		FROM base AS made
		RUN mkdir -p /out/dir && echo built > /out/dir/prog && chmod 711 /out/dir/prog && chown 5:6 /out/dir/prog
		FROM base AS unused
		RUN false
		FROM made
		COPY --from=made /out /opt/out
		COPY --from=0 /out/dir/prog /usr/bin/prog
		ADD archive.tgz /unpacked/
		COPY archive.tgz /plain/
		ENTRYPOINT ["/usr/bin/prog"]
		CMD echo "$HOME"
	END
	run -0 build -t staged .
	run -0 sbx run --image staged -- sh -c 'stat -c "%a %u:%g" /opt/out/dir/prog /usr/bin/prog; cat /unpacked/file; ls /plain'
	[ "$output" = $'711 5:6\n711 5:6\ninside\narchive.tgz' ]
	run -0 sbx image inspect staged -o json
	[ "$(jq -c '[.config.entrypoint, .config.cmd]' <<<"$output")" = '[["/usr/bin/prog"],["/bin/sh","-c","echo \"$HOME\""]]' ]
}

@test "an image is built on one that was built" {
	printf 'FROM base\nENV A=1\nWORKDIR /below\nRUN echo 1 > one\nUSER nobody\n' >Dockerfile
	run -0 build -t below:1 .
	printf 'FROM below:1\nENV B=$A$A\nUSER root\nRUN cat one > two; echo $B >> two\n' >other.file
	run -0 build -t above --file other.file .
	run -0 sbx run --image above -- cat /below/two
	[ "$output" = $'1\n11' ]
	# given as a file, its folder is the context
	run -0 build -t above:2 ./other.file
	said CACHED
}

@test "a sandbox that goes on from a kept step has the network" {
	printf 'FROM base\nRUN true\n' >Dockerfile
	run -0 build -t net .
	printf 'FROM base\nRUN true\nRUN ip -4 addr show dev eth0; ip route\n' >Dockerfile
	run -0 build -t net .
	said "CACHED RUN true"
	said "inet 10."
	said "default via"
}

@test "what cannot be built is said before anything is done" {
	printf 'FROM base\nRUN true\nCOPY none /\n' >Dockerfile
	run -1 build .
	said "Dockerfile:3: there is no 'none' in the context"
	printf 'FROM base\nCOPY ../../etc/passwd /\n' >Dockerfile
	run -1 build .
	said "leads out of the context"
	ln -s /etc out
	printf 'FROM base\nCOPY out/passwd /\n' >Dockerfile
	run -1 build .
	said "leads out of the context"
	printf 'FROM base\nHEALTHCHECK CMD true\n' >Dockerfile
	run -1 build .
	said "Dockerfile:2: HEALTHCHECK is not supported"
	printf 'FROM base\nADD https://example.org/x /\n' >Dockerfile
	run -1 build .
	said "ADD of a URL is not supported"
	rm Dockerfile
	run -1 build .
	said "there is no './Dockerfile'"
	run -2 build -t x base
	no_sandboxes
}

@test "image commit makes an image of a stopped sandbox, the same one each time" {
	sbx create --name made >/dev/null
	sbx exec made -- sh -c 'echo mine > /mine'
	run -1 sbx image commit made mine
	[[ $output == *"it is running"* ]]
	sbx stop made
	run -0 sbx image commit made mine:1 --user nobody --workdir /tmp
	[ "$output" = mine:1 ]
	run -0 sbx image commit made mine:2 -u nobody -w /tmp -o json
	digest=$(jq -r .digest <<<"$output")
	[ "$(sbx image inspect mine:1 -o json | jq -r .digest)" = "$digest" ]
	sbx rm made
	run -0 sbx run --image mine:1 -- sh -c 'cat /mine; id -un; pwd'
	[ "$output" = $'mine\nnobody\n/tmp' ]
}
