#!/usr/bin/env bats
# Images of others: from archives and from registries (docker-registry with an image that skopeo pushed), VMs made of them, and their names.
load helper

setup_file() {
	export SBX_CACHE=${SBX_CACHE:-$HOME/.cache/sbx}
	e2e_up
	unset DOCKER_CONFIG REGISTRY_AUTH_FILE XDG_RUNTIME_DIR http_proxy HTTP_PROXY
	export HOME=$WORK/home
	mkdir -p "$HOME" "$WORK/registry"
	python3 "$TOP/tests/e2e/layout.py" "$WORK/layout"
	DIGEST=$(python3 -c 'import json, sys
d = sys.argv[1]
m = json.load(open(d + "/blobs/" + json.load(open(d + "/index.json"))["manifests"][0]["digest"].replace(":", "/")))
print(m["config"]["digest"])' "$WORK/layout")
	export DIGEST
	local port
	port=$(free_port)
	export REGISTRY=127.0.0.1:$port
	echo secret >"$WORK/password"
	htpasswd -Bbn u secret >"$WORK/htpasswd"
	cat >"$WORK/registry.yml" <<-END
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $WORK/registry}}
		http: {addr: "$REGISTRY"}
		auth: {htpasswd: {realm: test, path: $WORK/htpasswd}}
	END
	docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 3>&- 4>&- &
	echo $! >"$WORK/registry.pid"
	wait_until 10 curl -so /dev/null "http://$REGISTRY/v2/"
	skopeo copy -q --dest-tls-verify=false --dest-creds u:secret "oci:$WORK/layout:1" "docker://$REGISTRY/team/app:1"
	python3 "$TOP/tests/e2e/registry.py" "$WORK/layout" "$WORK/seen" >"$WORK/own.port" 2>"$WORK/own.log" 3>&- 4>&- &
	echo $! >"$WORK/own.pid"
	wait_until 10 test -s "$WORK/own.port"
	OWN=127.0.0.1:$(cat "$WORK/own.port")
	export OWN
}

teardown_file() {
	kill "$(cat "$WORK/registry.pid")" "$(cat "$WORK/own.pid")"
	e2e_down
}

setup() { rm -f "$WORK/seen"; }

teardown() {
	local left
	for left in $(names); do sbx rm "$left" >/dev/null; done
	sbx image ls -o json | jq -r '.[] | select(.digest) | .digest' | sort -u | while read -r left; do sbx image rm "$left"; done
}

digest_of() { sbx image inspect "$1" -o json | jq -r .digest; }
blobs() { find "${SBX_CACHE:-$HOME/.cache/sbx}/blobs/sha256" -type f -name "$1" 2>/dev/null; }
# Blobs of the layout that a pull has kept are taken away, so that the next one has something to do.
forget_blobs() {
	local blob
	for blob in "$WORK"/layout/blobs/sha256/*; do rm -f "$SBX_CACHE/blobs/sha256/${blob##*/}"*; done
}

# What is in the image, seen from inside.
check_inside() {
	expect 1234:1234 "$(sbx exec "$1" -- sh -c 'echo $(id -u):$(id -g)')"
	expect /srv/work "$(sbx exec "$1" -- pwd)"
	expect 'hello image' "$(sbx exec "$1" -- sh -c 'echo $GREETING $KEPT')"
	expect 'from layer 2' "$(sbx exec --user root "$1" -- cat /etc/changed)"
	expect '640 1234 2' "$(sbx exec "$1" -- stat -c '%a %u %h' /etc/changed)"
	expect '2755 1234' "$(sbx exec "$1" -- stat -c '%a %u' /home/app/sgid)"
	expect 'through a link' "$(sbx exec "$1" -- cat /usr/lib/new)"
	expect 'usr/lib' "$(sbx exec "$1" -- readlink /lib)"
	run sbx exec "$1" -- test -e /etc/gone
	expect_status 1
	expect 'in the image only' "$(sbx exec "$1" -- cat /tmp/sbx-oci-outside/pwned)"
	[ ! -e /tmp/sbx-oci-outside ]
}

@test "an OCI layout in a folder: imported, a VM made of it, its environment, user and working folder" {
	expect app:1 "$(sbx image import "$WORK/layout" app:1)"
	expect "$DIGEST" "$(digest_of app:1)"
	expect "$DIGEST" "$(digest_of "${DIGEST#sha256:}")"
	expect "$DIGEST" "$(digest_of "$(cut -c8-19 <<<"$DIGEST")")"
	expect '["/bin/sh","-c"] ["sh"] ["8080/tcp"] yes' "$(sbx image inspect app:1 -o json | jq -r '.config | "\(.entrypoint | tojson) \(.cmd | tojson) \(.exposedPorts | tojson) \(.labels["org.example"])"')"
	sbx create --image app:1 --name one
	check_inside one
	expect 'hello mine' "$(sbx run --image app:1 -e KEPT=mine -- sh -c 'echo $GREETING $KEPT')"
	expect 0:/ "$(sbx run --image app:1 -- true; sbx exec --user root --workdir / one -- sh -c 'echo $(id -u):$(pwd)')"
	expect app:1 "$(field one image)"
	expect "${DIGEST#sha256:}" "$(field one imageDigest)"
}

@test "the same image by other ways is the same: a tar of the layout, docker save, zstd on the outside, standard input" {
	tar -C "$WORK/layout" -cf "$WORK/layout.tar" .
	skopeo copy -q "oci:$WORK/layout:1" "docker-archive:$WORK/save.tar:app:1"
	zstd -qf "$WORK/save.tar" -o "$WORK/save.tar.zst"
	sbx image import "$WORK/layout.tar" a
	sbx image import - b:2 <"$WORK/save.tar"
	sbx image import "$WORK/save.tar.zst" c
	expect "$DIGEST $DIGEST $DIGEST" "$(digest_of a) $(digest_of b:2) $(digest_of c)"
	expect 3 "$(sbx image ls -o json | jq '[.[] | select(.digest)] | length')"
	expect 1 "$(find "$SBX_HOME/images" -name rootfs.ext4 | wc -l)"
}

@test "layers packed with zstd" {
	python3 "$TOP/tests/e2e/layout.py" "$WORK/zstd-layout" --zstd --extra zstd
	sbx image import "$WORK/zstd-layout" z
	expect zstd "$(sbx run --image z -- cat /extra)"
}

@test "the tar of a root file system, packed, without any configuration" {
	mkdir -p "$WORK/root/bin" "$WORK/root/data"
	cp /bin/busybox "$WORK/root/bin/sh"
	echo content >"$WORK/root/data/file"
	tar -C "$WORK/root" --owner=7:7 --group=7:7 -czf "$WORK/root.tar.gz" .
	expect image "$(sbx image import "$WORK/root.tar.gz")"
	expect 'content 7' "$(sbx run --image image -- sh -c 'cat /data/file; stat -c %u /data/file' | xargs)"
	expect sha256: "$(digest_of image | cut -c1-7)"
}

@test "a VM of an image waits in the pool, too, and is the user's when it is taken" {
	sbx down --yes
	export SBX_POOL=1 # for the daemon that starts next, and is ended here
	sbx image import "$WORK/layout" app
	sbx create --image app --name one
	pooled() { api '/sandboxes?pool=true' | jq -e '[.sandboxes[] | select(.state == "pooled")] | length > 0'; }
	wait_until 60 pooled
	sbx image tag app other # what waits is known by the image and not by its name
	sbx create --image other --name two -e KEPT=mine
	expect 'hello mine app' "$(sbx exec two -- sh -c 'echo $GREETING $KEPT $(id -un)')"
	expect other "$(field two image)"
	sbx rm one two
	sbx image rm app other
	none() { api '/sandboxes?pool=true' | jq -e '.sandboxes | length == 0'; }
	wait_until 20 none
	sbx down --yes
}

@test "a registry: by name, with a password, again from the cache, by docker's own file, as docker://" {
	run --separate-stderr sbx image pull "$REGISTRY/team/app:1"
	expect_status 1
	expect_match 'wants to know who asks' "$stderr"
	expect app:1 "$(sbx image pull "$REGISTRY/team/app:1" --username u --password-file "$WORK/password")"
	expect "$DIGEST" "$(digest_of app:1)"
	sbx create --image app:1 --name one
	check_inside one
	expect other "$(sbx image pull "$REGISTRY/team/app:1" other --username u --password-file - <<<secret)"
	mkdir -p "$HOME/.docker"
	printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY" "$(printf u:secret | base64)" >"$HOME/.docker/config.json"
	expect app:1 "$(sbx image import "docker://$REGISTRY/team/app:1")"
	expect mine:2 "$(sbx image pull "$REGISTRY/team/app@$(jq -r '.manifests[0].digest' "$WORK/layout/index.json")" mine:2)"
	rm -r "$HOME/.docker"
	run --separate-stderr sbx image pull "$REGISTRY/team/app:1" --username u --password-file - <<<wrong
	expect_status 1
	expect_match 'does not accept this name and password' "$stderr"
	run --separate-stderr sbx image pull "$REGISTRY/team/app:2" --username u --password-file "$WORK/password"
	expect_status 1
	expect_match "no manifest of 'team/app'" "$stderr"
	run --separate-stderr sbx image pull "127.0.0.1:$(free_port)/x"
	expect_status 1
	refuse grep -rqF secret "$SBX_HOME" --include='*.log' --include='*.sqlite' --include='*.json'
}

@test "a token server, and blobs elsewhere, which get no credentials" {
	forget_blobs
	expect app:1 "$(sbx image pull "$OWN/team/app:1" --username u --password-file "$WORK/password")"
	expect "$DIGEST" "$(digest_of app:1)"
	expect 'Bearer the-token' "$(jq -r 'select(.port == "first" and (.path | contains("/blobs/"))) | .authorization' "$WORK/seen" | sort -u)"
	expect null "$(jq -r 'select(.port == "second") | .authorization' "$WORK/seen" | sort -u)"
	expect 3 "$(jq -r 'select(.port == "second") | .path' "$WORK/seen" | sort -u | wc -l)"
	expect '/token?scope=repository%3Ateam%2Fapp%3Apull&service=a%2C%20b' "$(jq -r 'select(.path | startswith("/token")) | .path' "$WORK/seen")"
	rm "$WORK/seen"
	sbx image pull "$OWN/team/app:1" again --username u --password-file "$WORK/password" # nothing is fetched twice
	expect 0 "$(jq -r 'select(.path | contains("/blobs/")) | .path' "$WORK/seen" | wc -l)"
}

@test "a blob whose connection breaks goes on where it was" {
	forget_blobs
	sbx image pull "$OWN/open/cut:1" cut
	expect "$DIGEST" "$(digest_of cut)"
	jq -se 'any(.[]; .range)' "$WORK/seen" >/dev/null
	forget_blobs
	# what an earlier pull has left counts
	local layer
	layer=$(jq -r '.manifests[0].digest' "$WORK/layout/index.json" | tr : /)
	layer=$(jq -r '.layers[0].digest' "$WORK/layout/blobs/$layer" | cut -d: -f2)
	head -c 5000 "$WORK/layout/blobs/sha256/$layer" >"$SBX_CACHE/blobs/sha256/$layer.part"
	rm "$WORK/seen"
	sbx image pull "$OWN/open/app:1" cut
	expect 'bytes=5000-' "$(jq -r "select(.path | endswith(\"$layer\")) | .range" "$WORK/seen")"
	expect '' "$(blobs '*.part')"
}

@test "what is not what its digest says is refused, and not kept" {
	forget_blobs
	run --separate-stderr sbx image pull "$OWN/open/bad:1" bad
	expect_status 1
	expect_match 'not what its name says' "$stderr"
	run --separate-stderr sbx image pull "$OWN/open/lost:1" lost
	expect_status 1
	expect_match 'over plain http' "$stderr"
	run --separate-stderr sbx image pull "$OWN/none/app:1"
	expect_status 1
	expect_match 'repository name not known' "$stderr"
	cp -r "$WORK/layout" "$WORK/damaged"
	local blob
	blob=$(find "$WORK/damaged/blobs" -type f -size +100k)
	printf x | dd of="$blob" bs=1 seek=1000 conv=notrunc 2>/dev/null
	run --separate-stderr sbx image import "$WORK/damaged" damaged
	expect_status 1
	expect '' "$output"
	expect '' "$(find "$SBX_HOME/images" -mindepth 1 -type d)"
	run --separate-stderr sbx image inspect damaged
	expect_status 1
}

@test "names: tag, move, remove; what is in use stays" {
	python3 "$TOP/tests/e2e/layout.py" "$WORK/layout2" --extra two
	sbx image import "$WORK/layout" app:1
	sbx image import "$WORK/layout2" app:2
	sbx image tag app:1 app
	sbx create --image app --name one
	sbx image tag app:2 app # moves; the sandbox stays what it was
	expect two "$(sbx run --image app -- cat /extra)"
	refuse sbx exec one -- cat /extra
	run --separate-stderr sbx image rm app:1
	expect_status 1
	expect_match "in use by sandboxes: one" "$stderr"
	expect_match 'sbx rm one' "$stderr"
	sbx rm one
	sbx image rm app:1 app
	run --separate-stderr sbx image inspect app:1
	expect_status 1
	expect app:2 "$(sbx image ls -o json | jq -r '[.[] | select(.digest) | .name] | join(" ")')"
	sbx image tag app:2 base:mine
	sbx image rm "$(digest_of app:2)" # with all its names
	expect 0 "$(sbx image ls -o json | jq '[.[] | select(.digest)] | length')"
	expect '' "$(find "$SBX_HOME/images" -mindepth 1 -type d)"
}

@test "what cannot be is said in words" {
	local args
	for args in 'tag nosuch x' 'rm nosuch' 'rm base' 'tag base x' 'inspect 12345678' 'pull UPPER/x' 'pull 127.0.0.1:1/x@sha256:12' 'pull x NAME' 'import /nosuch'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr sbx image $args
		expect_status 1
		expect '' "$output"
	done
	for args in 'pull x --username u' 'import /etc' 'import' 'tag x'; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr sbx image $args
		expect_status 2
	done
	run --separate-stderr sbx image import "$WORK/layout" base
	expect_status 1
	expect_match 'base:mine' "$stderr"
	run --separate-stderr sbx image import - x <<<'this is no archive'
	expect_status 1
	expect_match 'tar' "$stderr"
	run --separate-stderr sbx image import - x </dev/null
	expect_status 1
	run --separate-stderr sbx image pull http://example.com/x
	expect_status 1
	expect_match -- '--plain-http' "$stderr"
	run --separate-stderr sbx create --image nosuch:1
	expect_status 1
}

@test "an import that is given up, or whose daemon is killed, leaves nothing" {
	tar -C "$WORK/layout" -cf "$WORK/begun.tar" .
	mkfifo "$WORK/endless"
	command sbx image import "$WORK/endless" half 3>&- 4>&- &
	local pid=$!
	exec 8>"$WORK/endless"
	head -c 500000 "$WORK/begun.tar" >&8
	wait_until 10 bash -c 'ls -d "$SBX_HOME"/images/.tmp-*'
	kill -TERM "$pid"
	wait "$pid" || true
	exec 8>&-
	wait_until 10 bash -c '! ls -d "$SBX_HOME"/images/.tmp-* 2>/dev/null'
	command sbx image import "$WORK/endless" half 3>&- 4>&- &
	pid=$!
	exec 8>"$WORK/endless"
	head -c 500000 "$WORK/begun.tar" >&8
	wait_until 10 bash -c 'ls -d "$SBX_HOME"/images/.tmp-*'
	kill -9 "$(daemon_pid)"
	exec 8>&-
	refuse wait "$pid"
	sbx image ls >/dev/null
	wait_until 10 bash -c '! ls -d "$SBX_HOME"/images/.tmp-* 2>/dev/null'
	refuse sbx image inspect half
}
