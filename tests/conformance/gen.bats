#!/usr/bin/env bats
# sbxgen: one fault in a copy of a real contract stops it with file:line: key: message; what it writes is small and always the same.
load ../e2e/helper

setup_file() {
	WORK=$(mktemp -d /tmp/sbx-w.XXXXXX)
	export WORK PATH="${SBX_BIN:-$TOP/build/bin}:$PATH"
}
teardown_file() { rm -rf "$WORK"; }

# line_of PATTERN SPEC: the first that has it.
line_of() { grep -n -m1 -- "$1" "$TOP/shared/specs/$2.yaml" | cut -d: -f1; }

# stops MESSAGE SPEC SED: the contract, changed by the sed script, is refused with the message: `%` is the first line that differs.
stops() {
	local message=$1 spec=$2 line
	mkdir -p "$WORK/broken" && cd "$WORK/broken" || return 1
	rm -f out.*
	LC_ALL=C sed -E "$3" "$TOP/shared/specs/$spec.yaml" >"$spec.yaml"
	line=$(cmp "$TOP/shared/specs/$spec.yaml" "$spec.yaml" | sed 's/.*line //')
	[ -n "$line" ] || fail "the script changes nothing: $3"
	run --separate-stderr sbxgen --strict contract "$spec.yaml" out
	expect_status 1
	expect "$spec.yaml:${message//%/$line}" "${stderr:-}"
	expect '' "${output:-}"
	refuse ls out.c out.h
}

@test "a reference that leads nowhere" {
	stops "%: \$ref: '#/components/schemas/NoSignupRequest' is not defined" wrenn '0,/\$ref: "#\/components\/schemas\//s//&No/'
	stops "%: \$ref: must begin with '#/components/schemas/'" wrenn '0,/\$ref: "#\/components\/schemas\//s//$ref: "other.yaml#\//'
	stops "%: nosuch: no such security scheme" mcp-v8 '0,/^      security: .*/s//      security: [{nosuch: []}]/'
}

@test "an operation that is open to everybody by mistake" {
	local what="public and does not say so: if it is meant, write 'security: []'"
	# the operation begins on the line before its operationId
	stops "$(($(line_of 'operationId: listCapsules$' wrenn) - 1)): get: is $what" wrenn \
		'/operationId: listCapsules$/,/^ {6}x-sbx-command/{/^ {6}security:/,/^ {6}x-sbx/{/security|^ {8}/d}}'
	stops "$(($(line_of 'operationId: login$' wrenn) - 1)): post: is $what" wrenn '/operationId: login$/,/responses:/{/security:/d}'
	# nor by what the others inherit
	stops "$(($(line_of 'operationId: list_vms$' freestyle) - 1)): get: is $what" freestyle '0,/^  - bearerAuth: \[\]/s//  - {}/'
}

@test "an unknown key" {
	stops "%: sumary: not a key of an operation, or not supported" wrenn '0,/^      summary:/s//      sumary:/'
	stops "%: x-sbx-comand: not an extension of an operation that sbxgen knows" wrenn '0,/^      x-sbx-command:/s//      x-sbx-comand:/'
	stops "%: maxLen: not a key of a schema, or not supported" sbx '0,/maxLength:/s//maxLen:/'
	stops "%: gett: not a method" sbx '0,/^    get:/s//    gett:/'
}

@test "a command that is none, or taken" {
	local what="%: x-sbx-command: must be a noun and a verb in lower case: 'sandbox create'"
	stops "$what" wrenn '0,/x-sbx-command: auth login/s//x-sbx-command: login/'
	stops "$what" wrenn '0,/x-sbx-command: auth login/s//x-sbx-command: Auth login/'
	stops "%: x-sbx-command: 'auth signup' is the command of 'signup' already" wrenn '0,/x-sbx-command: auth login/s//x-sbx-command: auth signup/'
}

@test "the same operation, path or key twice" {
	# the operation begins on the line before its operationId
	stops "$(($(line_of 'operationId: login$' wrenn) - 1)): post: operationId 'signup' is taken" wrenn 's/operationId: login$/operationId: signup/'
	stops "%: /v1/auth/signup: duplicate key, first on line $(line_of '^  /v1/auth/signup:' wrenn)" wrenn '0,/^  \/v1\/auth\/login:/s//  \/v1\/auth\/signup:/'
	stops "%: maxLength: duplicate key, first on line $(line_of maxLength: sbx)" sbx \
		'0,/maxLength: ([0-9]+)/s//maxLength: \1, maxLength: \1/'
}

@test "two paths that take the same requests" {
	printf '%s\n' 'openapi: 3.1.0' 'paths:' '  /a/{b}:' "    parameters: [{name: b, in: path, required: true, schema: {type: string}}]" \
		'    get: {operationId: one, security: []}' '  /a/{c}:' "    parameters: [{name: c, in: path, required: true, schema: {type: string}}]" \
		'    get: {operationId: two, security: []}' >"$WORK/same.yaml"
	cd "$WORK"
	run --separate-stderr sbxgen --strict contract same.yaml out
	expect_status 1
	expect "same.yaml:8: get: takes the same requests as 'one'" "$stderr"
}

@test "a pattern that is none, or that POSIX cannot say" {
	stops "%: pattern: the pattern looks around or names a group, POSIX cannot" sbx '0,/pattern: "[^"]*"/s//pattern: "^(?=a)b$"/'
	stops "%: pattern: the pattern does not compile" sbx '0,/pattern: "[^"]*"/s//pattern: "^(a"/'
	stops "%: pattern: the pattern has an unclosed '['" sbx '0,/pattern: "[^"]*"/s//pattern: "^[a"/'
}

@test "a default or an enum of another type" {
	stops "%: default: a number does not fit the type of the schema" freestyle '0,/type: boolean, /s//type: boolean, default: 3, /'
	stops "%: default: a string does not fit the type of the schema" freestyle '0,/default: [0-9]+/s//default: "x"/'
	stops "%: enum: a number does not fit the type of the schema: put it in quotes" sbx '0,/enum: \[/s//enum: [7, /'
	stops "%: enum: a string does not fit the type of the schema" sbx '0,/type: integer/s//type: integer, enum: [a, 1]/'
	stops "%: type: 'strin' is not a type" sbx '0,/type: string/s//type: strin/'
}

@test "a parameter of the path that is not declared" {
	stops "$(line_of '{id}:$' wrenn): /v1/api-keys/{id}: path parameter 'id' is not declared" wrenn '0,/name: id, in: path/s//name: idd, in: path/'
}

@test "text that is no YAML of ours: tabs, broken UTF-8, an open quote, anchors, an end too early" {
	stops "%: get: found character that cannot start any token" sbx '0,/^      operationId:/s//\toperationId:/'
	stops "%: invalid leading UTF-8 octet" sbx '20s/$/ \xff/'
	stops "%: info: anchors are not supported" wrenn 's/^info:/info: \&a/'
	local last
	last=$(grep -n '{$\|\[$\|: {.*}$' "$TOP/shared/specs/sbx.yaml" | cut -d: -f1 | tail -n 1)
	head -n "$last" "$TOP/shared/specs/sbx.yaml" | head -c -2 >"$WORK/cut.yaml"
	cd "$WORK"
	run --separate-stderr sbxgen --strict contract cut.yaml out
	expect_status 1
	expect_match "^cut.yaml:[0-9]+: .+" "$stderr"
	: >"$WORK/cut.yaml"
	run --separate-stderr sbxgen --strict contract cut.yaml out
	expect "cut.yaml:1: the document is empty" "$stderr"
}

@test "mistakes in x-sbx-faults" {
	stops "%: syntaks: no kind of fault" wrenn 's/^    syntax: .*/    syntaks: {status: 400}/'
	stops "%: syntax: 'status' must be 400 to 599" wrenn 's/^    syntax: .*/    syntax: {status: 200}/'
	stops "%: as: must be 'text' or 'empty'" wrenn 's/^    syntax: .*/    syntax: {status: 400, as: html}/'
	stops "%: kode: not a key of a kind of fault, or not supported" wrenn 's/^    syntax: .*/    syntax: {status: 400, kode: x}/'
	stops "%: shap: not a key of x-sbx-faults, or not supported" mcp-v8 's/^  shape: .*/  shap: {error: $message}/'
	stops "%: shape: must be a mapping" mcp-v8 's/^  shape: .*/  shape: $message/'
	stops "%: message: '\$hint' must not come first" mcp-v8 's/^  shape: .*/  shape: {message: $hint, error: $message}/'
	stops "%: error: '\$mesage' is none of \$code, \$message, \$hint, \$status" mcp-v8 's/^  shape: .*/  shape: {error: $mesage}/'
	stops "%: x-sbx-unknown-fields: must be 'ignore' or 'refuse'" wrenn 's/^x-sbx-unknown-fields: .*/x-sbx-unknown-fields: maybe/'
}

@test "a contract that is not there" {
	cd "$WORK"
	run --separate-stderr sbxgen --strict contract nosuch.yaml out
	expect_status 1
	expect_match nosuch.yaml "$stderr"
	run sbxgen --strict
	expect_status 2
}

@test "two runs write the same, bit by bit, wherever the contract stands" {
	local spec name
	for spec in "$TOP"/shared/specs/*.yaml; do
		name=$(basename "$spec" .yaml)
		mkdir -p "$WORK/one" "$WORK/two" "$WORK/copy"
		cp "$spec" "$WORK/copy/"
		(cd "$WORK" && sbxgen --strict contract "$spec" "one/$name" && TZ=Asia/Tokyo LC_ALL=C sbxgen --strict contract "copy/$name.yaml" "two/$name")
	done
	diff -r "$WORK/one" "$WORK/two"
}

@test "all contracts together are less than 1 MB of program" {
	local total
	total=$(size -t "${SBX_BIN:-$TOP/build/bin}"/../obj/gen/*.o | awk 'END { print $4 }')
	[ "$total" -gt 10000 ] && [ "$total" -lt 1000000 ] || fail "$total bytes"
}
