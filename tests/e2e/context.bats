#!/usr/bin/env bats
# The configuration file, contexts, and which of the places where a setting may stand wins.
load helper

setup_file() {
	e2e_up
	PORT=$(sbx up --listen 127.0.0.1:0)
	KEY=$(sbx key create --name first | tail -n 1)
	sbx create --name here >/dev/null
	# the other daemon
	OTHER=$WORK/o
	mkdir "$OTHER"
	SBX_HOME=$OTHER sbx create --name there >/dev/null
	A=127.0.0.1:$(front a record)
	B=127.0.0.1:$(front b record)
	export PORT KEY OTHER A B
}
teardown_file() {
	fronts_end
	SBX_HOME=$OTHER sbx down --yes
	e2e_down
}
setup() { rm -f "$SBX_CONFIG"; }
teardown() { rm -f "$SBX_CONFIG"; }

lists() { sbx "$@" ls -o json | jq -r '(.sandboxes? // .)[].name'; }
row() { sbx config view -o json | jq -r --arg k "$1" '.[] | select(.key == $k) | "\(.value) \(.source)"'; }

@test "contexts are added, used, listed, shown and removed" {
	sbx context add other "unix:$OTHER/sbxd.sock"
	expect here "$(lists)"
	expect there "$(lists --context other)"
	sbx context use other
	expect there "$(lists)"
	expect 'default false sbx,other true sbx' "$(sbx context ls -o json | jq -r 'map("\(.name) \(.current) \(.api)") | join(",")')"
	expect_match 'other +\* +sbx +unix:' "$(sbx context ls)"
	expect other "$(sbx context inspect -o json | jq -r .name)"
	expect true "$(sbx context inspect -o json | jq -r .current)"
	expect false "$(sbx context inspect default -o json | jq -r .current)"
	run --separate-stderr sbx context rm other
	expect_status 0
	expect_match "current context is 'default' again" "$stderr"
	expect here "$(lists)"
	fails 1 "no context 'other'" --context other ls
}

@test "precedence: --host, --context, SBX_HOST, SBX_CONTEXT, the file, the local daemon" {
	sbx context add other "unix:$OTHER/sbxd.sock" --use
	expect there "$(lists)"
	expect here "$(SBX_CONTEXT=default lists)"
	expect there "$(SBX_CONTEXT='' lists)"
	# shellcheck disable=SC2153 # no misspelling
	expect here "$(SBX_HOST=unix:$SBX_HOME/sbxd.sock SBX_CONTEXT=other lists)"
	expect there "$(SBX_HOST=unix:$SBX_HOME/sbxd.sock lists --context other)"
	expect here "$(lists --context other --host "unix:$SBX_HOME/sbxd.sock")"
	expect here "$(lists --host unix:)"
	expect here "$(sbx --context default ls -o json | jq -r '(.sandboxes? // .)[].name')"
	export SBX_HOST=http://127.0.0.1:1
	expect SBX_HOST "$(sbx context ls -o json | jq -r '.[] | select(.current) | .name')"
	expect_match 'env SBX_HOST' "$(row host)"
}

@test "a key comes from the flag, the variable, the context: by value, from a file, never on the command line" {
	echo "$KEY" | sbx context add tcp "http://$PORT" --api-key-file -
	expect here "$(lists --context tcp)"
	refuse sbx --context tcp --api-key wrong ls
	SBX_API_KEY=wrong refuse sbx --context tcp ls
	expect here "$(SBX_API_KEY=wrong lists --context tcp --api-key "$KEY")"
	printf ' %s \n\n' "$KEY" >"$WORK/key"
	(cd "$WORK" && sbx context add ref "http://$PORT" --api-key-ref key && sbx context add file "http://$PORT" --api-key-file key)
	expect here "$(lists --context ref)"
	expect here "$(lists --context file)"
	grep -q "api-key-file: $WORK/key" "$SBX_CONFIG"
	expect 2 "$(grep -cF "$KEY" "$SBX_CONFIG")"
	: >"$WORK/key"
	fails 1 "context 'ref'.*holds no key" --context ref ls
	rm "$WORK/key"
	fails 1 "context 'ref': key file.*No such file" --context ref ls
	fails 2 'could be seen' context add x "http://$PORT" --api-key secret
	fails 1 'holds no key' context add x "http://$PORT" --api-key-file /dev/null
	expect 600 "$(stat -c %a "$SBX_CONFIG")"
}

@test "no key is ever shown" {
	echo TOPSECRET | sbx context add k "http://$PORT" --api-key-file - --use
	printf 'providers: {wrenn: {api-key: TOPSECRET}}\n' >>"$SBX_CONFIG"
	local out
	out=$(sbx context inspect k && sbx context inspect k -o json && sbx context ls -o yaml && sbx config view && sbx config view -o yaml)
	refuse grep -q TOPSECRET <<<"$out"
	expect '(set)' "$(sbx context inspect k -o json | jq -r .apiKey)"
	expect "(set) file $SBX_CONFIG" "$(row api-key)"
	expect "(set) file $SBX_CONFIG" "$(row wrenn.api-key)"
	expect '(set) env WRENN_API_KEY' "$(WRENN_API_KEY=TOPSECRET row wrenn.api-key)"
	expect '(set) env SBX_API_KEY' "$(SBX_API_KEY=TOPSECRET row api-key)"
	expect 'http://(set)@w env WRENN_BASE_URL' "$(WRENN_BASE_URL=http://me:TOPSECRET@w row wrenn.base-url)"
	run sbx --host http://me:TOPSECRET@h ls
	expect_status 2
	refuse grep -q TOPSECRET <<<"$output"
}

@test "config view says where each setting comes from; config path where the file is" {
	expect 'json flag' "$(row output)"
	expect 'table default' "$(sbx config view | awk '$1 == "output" { print $2, $3 }')"
	expect_match 'value: yaml.*source: env SBX_OUTPUT' "$(SBX_OUTPUT=yaml sbx config view | head -n 3 | xargs)"
	expect "default default" "$(row context)"
	sbx context add other "unix:$OTHER/sbxd.sock" --use
	expect "other file $SBX_CONFIG" "$(row context)"
	expect "unix:$OTHER/sbxd.sock file $SBX_CONFIG" "$(row host)"
	expect "here env SBX_CONTEXT" "$(SBX_CONTEXT=here row context 2>/dev/null)"
	expect "$SBX_HOME env SBX_HOME" "$(row home)"
	expect "$SBX_CONFIG" "$(sbx config path)"
	expect "$WORK/x/sbx/config.yaml" "$(SBX_CONFIG='' XDG_CONFIG_HOME=$WORK/x sbx config path)"
	expect "$WORK/.config/sbx/config.yaml" "$(env -u SBX_CONFIG -u XDG_CONFIG_HOME HOME="$WORK" sbx config path)"
}

@test "the file's output is the default of -o; a variable wins over it, a flag over both" {
	echo 'output: json' >"$SBX_CONFIG"
	sbx ls | jq -e . >/dev/null
	sbx version | jq -e .version >/dev/null
	expect_match '^NAME' "$(sbx context ls -o table)"
	expect_match '^- name' "$(SBX_OUTPUT=yaml sbx context ls)"
	SBX_OUTPUT=xml fails 2 'SBX_OUTPUT must be table, json or yaml' ls
}

@test "a broken file is named with its line, stops what needs it and nothing else" {
	printf 'output: json\ncontxet: lab\n' >"$SBX_CONFIG"
	fails 1 "$SBX_CONFIG:2: contxet: unknown key" ls
	expect_match "did you mean 'context'" "$stderr"
	fails 1 ':2: contxet' context add a unix:/x
	fails 1 ':2: contxet' config view
	expect_match '^sbx' "$(sbx version)"
	expect_match '^sbx' "$(sbx --version)"
	expect_match Usage "$(sbx --help)"
	expect_match Usage "$(sbx ls --help)"
	expect "$SBX_CONFIG" "$(sbx config path)"
	printf 'GET /sbx/v1/version HTTP/1.0\r\nHost: sbx\r\n\r\n' | sbx dial-stdio | grep -q '^HTTP/1.. 200'
	expect "$(printf 'output: json\ncontxet: lab')" "$(cat "$SBX_CONFIG")"
}

@test "an edit keeps what the file says, and ten at once lose nothing" {
	cat >"$SBX_CONFIG" <<-'END'
		# mine
		output: yaml
		contexts: {w: {endpoint: "https://w/b", api: wrenn, api-key: "a: #b"}}
		providers: {molecule: {base-url: "https://m", api-key-file: ~/k}}
	END
	local i pids=()
	for i in {1..10}; do
		sbx context add "c$i" "unix:/x$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	expect 12 "$(sbx context ls -o json | jq length)"
	python3 - "$SBX_CONFIG" <<-'END'
		import sys, yaml
		c = yaml.safe_load(open(sys.argv[1]))
		assert c["output"] == "yaml" and c["contexts"]["w"] == {"endpoint": "https://w/b", "api": "wrenn", "api-key": "a: #b"}, c
		assert c["providers"] == {"molecule": {"base-url": "https://m", "api-key-file": "~/k"}}, c
	END
	expect_match 'comments are not' "$(sbx context add --help)"
}

@test "what cannot be is refused with a word on what to do" {
	sbx context add lab ssh://me@box
	sbx context add w https://w.example --api wrenn
	fails 1 "did you mean 'lab'" --context lba ls
	fails 1 "did you mean 'lab'" context use lba
	fails 1 "no context 'lba'" context rm lab lba
	expect lab "$(sbx context inspect lab -o json | jq -r .name)"
	fails 2 "context 'w' speaks wrenn" --context w ls
	expect_match 'use: sbx wrenn' "$stderr"
	fails 1 'exists already' context add lab unix:/x
	fails 2 'built in' context add default unix:/x
	fails 2 'built in' context rm default
	fails 2 'cannot be the name' context add 'a b' unix:/x
	fails 2 'no endpoint' context add a ftp://x
	fails 2 'no endpoint' context add a ssh://-oProxyCommand=id
	fails 2 'takes one of' context add a https://x --api docker
	fails 2 'arguments are missing' context add a
	SBX_CONTEXT=lba fails 1 "env SBX_CONTEXT: no context 'lba'" ls
	# a key never goes in clear where a variable says
	SBX_API_KEY=k SBX_HOST=http://198.51.100.1 fails 1 'in clear text' ls
}

# went NAME REGEX: the last request that front NAME got.
went() { expect_match "$2" "$(tail -n 1 "$WORK/front.$1")"; }

@test "generated commands take address and key from flags, variables, the provider of the file, a context of that system" {
	printf 'providers: {wrenn: {base-url: "http://%s/p", api-key-file: %s}}\n' "$A" "$WORK/wkey" >"$SBX_CONFIG"
	echo filed >"$WORK/wkey"
	refuse sbx wrenn capsule list
	went a '^GET /p/.*X-API-Key: filed'
	WRENN_API_KEY=other refuse sbx wrenn capsule list
	went a 'X-API-Key: other'
	WRENN_BASE_URL=http://$B refuse sbx wrenn capsule list --api-key flag
	went b 'X-API-Key: flag'
	refuse sbx wrenn capsule list --base-url "http://$B/x"
	went b '^GET /x/.*X-API-Key: filed'
	rm "$WORK/wkey"
	fails 1 "provider 'wrenn': key file" wrenn capsule list

	echo mine | sbx context add w "http://$B/c" --api wrenn --api-key-file - --use
	echo ours | sbx context add m "http://$B/m" --api molecule --api-key-file -
	refuse sbx wrenn capsule list --context w
	went b '^GET /c/.*X-API-Key: mine'
	fails 2 "context 'm' speaks molecule" wrenn capsule list --context m
	# the provider's own entry comes before a context that is only the current one
	fails 1 "provider 'wrenn': key file" wrenn capsule list
	printf 'context: w\ncontexts: {w: {endpoint: "http://%s/c", api: wrenn, api-key: mine}}\n' "$B" >"$SBX_CONFIG"
	refuse sbx wrenn capsule list
	went b '^GET /c/.*X-API-Key: mine'
	# a context of ours, by name: our daemon speaks them all
	expect_match 'cl-0+[a-z0-9]+ +running' "$(sbx wrenn capsule list --context default)"
	WRENN_BASE_URL=http://198.51.100.1 WRENN_API_KEY=k fails 1 'in clear text' wrenn capsule list
}
