/* link: shared/gen/[d-ln-z]*.c shared/yaml/yaml_tree.c shared/gen/model*.c shared/contract/[a-z]*.c build/gen/sbx_contract.c build/gen/wrenn_contract.c build/gen/voidrun_contract.c build/gen/freestyle_contract.c build/gen/mcp-v8_contract.c build/gen/molecule_contract.c | -lyaml */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "sbx_contract.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"
#include "shared/base/mem.h"
#include "shared/contract/router.h"
#include "tests/unit/contract_of.h"

#define P(name) "{name: " name ", in: path, required: true, schema: {type: string}}"
static const char doc[] =
	DOC_HEAD "servers: [{url: /v1}]\npaths:\n"
		 "  /: {get: {security: [], operationId: root}}\n"
		 "  /boxes: {get: {security: [], operationId: list}, post: {security: [], operationId: create}}\n"
		 "  /boxes/stats: {get: {security: [], operationId: stats}}\n"
		 "  /boxes/{id}:\n    parameters: [" P(
			 "id") "]\n"
			       "    get: {security: [], operationId: get}\n    delete: {security: [], operationId: remove}\n"
			       "  /boxes/{id}/exec: {post: {security: [], operationId: exec, parameters: [" P(
				       "id") "]}}\n"
					     "  /boxes/stats/deep/x: {get: {security: [], operationId: deep}}\n"
					     "  /boxes/{id}/deep/{n}: {get: {security: [], operationId: deepN, parameters: [" P(
						     "n") ", " P("id") "]}}\n"
								       "  /files/{id}/{path}:\n    parameters: [" P(
									       "id") ", {name: path, in: path, required: true, "
										     "x-sbx-rest: true, schema: {type: string}}]\n"
										     "    get: {security: [], operationId: read}\n "
										     "   put: {security: [], operationId: write}\n"
										     "  /files/{id}/{path}/meta: {get: {security: "
										     "[], operationId: meta, parameters: "
										     "[" P("id") ", " P("path") "]}}\n";

/* With a router of this contract alone. */
static int match_one(const struct contract *c, const char *method, const char *path, struct ct_match *m, struct err *err)
{
	struct router *r = router_new(&c, 1, err);
	int rc = r ? router_match(r, method, path, m, err) : -1;
	router_free(r);
	return rc;
}

static int setup(void **state)
{
	struct built *b = mem_zalloc(sizeof *b);
	struct err err = ERR_INIT;

	*state = b;
	if (built_init(b, doc, &err) != 0)
		(void)fprintf(stderr, "%s\n", err.msg);
	return b->model ? 0 : -1;
}

static int teardown(void **state)
{
	built_free(*state);
	free(*state);
	return 0;
}

/* "get id=x", or "404", "405 GET, POST", "400". */
static void expect(const struct contract *c, const char *method, const char *path, const char *want)
{
	struct ct_match m;
	struct err err = ERR_INIT;
	auto_buf got = BUF_INIT;

	if (match_one(c, method, path, &m, &err) == 0) {
		buf_str(&got, ct_s(c, c->ops[m.op].id));
		for (unsigned i = 0; i < m.count; i++)
			buf_fmt(&got, " %s=%s", m.names[i], m.values[i]);
	} else {
		buf_fmt(&got, "%d%s%s", err_status(err.code), err.hint[0] ? " " : "", err.hint);
		assert_int_equal(m.op, CT_NONE);
		assert_int_equal(m.count, 0);
	}
	ct_match_free(&m);
	if (strcmp(got.p, want) != 0)
		fail_msg("%s %s: '%s', not '%s'", method, path, got.p, want);
}

static void t_routes(void **state)
{
	static const char *const rows[][3] = {
		{ "GET", "/v1", "root" },
		{ "GET", "/v1/boxes", "list" },
		{ "POST", "/v1/boxes", "create" },
		{ "GET", "/v1/boxes/stats", "stats" },
		{ "GET", "/v1/boxes/abc", "get id=abc" },
		{ "DELETE", "/v1/boxes/abc", "remove id=abc" },
		{ "DELETE", "/v1/boxes/stats", "remove id=stats" }, /* the static path has no DELETE */
		{ "GET", "/v1/boxes/stats/deep/x", "deep" },
		{ "GET", "/v1/boxes/stats/deep/y", "deepN id=stats n=y" }, /* back from a static segment; names in path order */
		{ "POST", "/v1/boxes/stats/exec", "exec id=stats" },
		{ "GET", "/v1/files/a/b", "read id=a path=b" },
		{ "GET", "/v1/files/a/b/c//d/", "read id=a path=b/c//d/" },
		{ "PUT", "/v1/files/a/", "write id=a path=" },
		{ "GET", "/v1/files/a/b/meta", "meta id=a path=b" },
		{ "PUT", "/v1/files/a/b/meta", "write id=a path=b/meta" },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(&b->c, rows[i][0], rows[i][1], rows[i][2]);
}

static void t_misses(void **state)
{
	static const char *const rows[][3] = {
		{ "GET", "", "404" },
		{ "GET", "v1", "404" },
		{ "GET", "/", "404" },
		{ "GET", "/v1/", "404" },
		{ "GET", "/V1/boxes", "404" },
		{ "GET", "/v1/boxes/", "404" },
		{ "GET", "//v1/boxes", "404" },
		{ "GET", "/v1//boxes", "404" },
		{ "GET", "/v1/boxes//deep/x", "404" },
		{ "GET", "/v1/boxes/a/b/c/d", "404" },
		{ "GET", "/v1/files/a", "404" },
		{ "PUT", "/v1/boxes", "405 GET, POST" },
		{ "put", "/v1/boxes/a", "405 GET, DELETE" },
		{ "POST", "/v1/boxes/stats", "405 GET, DELETE" },
		{ "DELETE", "/v1/files/a/b/meta", "405 GET, PUT" },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(&b->c, rows[i][0], rows[i][1], rows[i][2]);
}

static void t_escapes(void **state)
{
	static const char *const rows[][3] = {
		{ "GET", "/v1/boxes/a%2Fb", "get id=a/b" },
		{ "GET", "/v1/box%65s/%41", "get id=A" },
		{ "GET", "/v1/boxes/a+b%20c", "get id=a+b c" },
		{ "GET", "/v1%2Fboxes", "404" },
		{ "GET", "/v1/boxes/%2e%2e", "get id=.." },
		{ "GET", "/v1/files/a/x%2Fy/z%25", "read id=a path=x/y/z%" },
		{ "GET", "/v1/boxes/%00", "400" },
		{ "GET", "/v1/boxes/%", "400" },
		{ "GET", "/v1/boxes/%4", "400" },
		{ "GET", "/v1/boxes/%zz", "400" },
		{ "GET", "/nowhere/%zz", "400" },
		{ "GET", "/v1/boxes/%2525", "get id=%25" },
	};
	const struct built *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(&b->c, rows[i][0], rows[i][1], rows[i][2]);
}

static void t_long(void **state)
{
	const struct built *b = *state;
	auto_buf deep = BUF_INIT;
	auto_buf rest = BUF_INIT;
	struct ct_match m;
	struct err err = ERR_INIT;

	buf_str(&rest, "/v1/files/a");
	for (int i = 0; i < 10000; i++) {
		buf_str(&deep, "/boxes");
		buf_str(&rest, "/x%2e");
	}
	assert_int_equal(match_one(&b->c, "GET", deep.p, &m, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	ct_match_free(&m);
	assert_int_equal(match_one(&b->c, "GET", rest.p, &m, &err), 0);
	assert_int_equal(strlen(m.values[1]), 10000 * 3 - 1);
	ct_match_free(&m);
	buf_str(&rest, "/%");
	assert_int_equal(match_one(&b->c, "GET", rest.p, &m, &err), -1);
	assert_int_equal(err.code, ERR_INVALID);
	ct_match_free(&m);
}

static void t_path(void **state)
{
	const struct built *b = *state;
	const struct contract *c = &b->c;
	auto_buf out = BUF_INIT;
	struct err err = ERR_INIT;

	assert_int_equal(ct_path(c, ct_op_by_id(c, "deepN"), (const char *const[]){ "a/b c", "1" }, 2, &out, &err), 0);
	assert_string_equal(out.p, "/v1/boxes/a%2Fb%20c/deep/1");
	buf_clear(&out);
	assert_int_equal(ct_path(c, ct_op_by_id(c, "read"), (const char *const[]){ "a", "x/y z/" }, 2, &out, &err), 0);
	assert_string_equal(out.p, "/v1/files/a/x%2Fy%20z%2F");
	assert_int_equal(ct_path(c, ct_op_by_id(c, "get"), NULL, 0, &out, &err), -1);
	assert_string_equal(err.msg, "'id' is required");
	assert_int_equal(ct_path(c, ct_op_by_id(c, "get"), (const char *const[]){ "" }, 1, &out, &err), -1);
	assert_string_equal(err.msg, "'id' must not be empty");
	assert_int_equal(ct_path(c, ct_op_by_id(c, "list"), (const char *const[]){ "a" }, 1, &out, &err), -1);
	assert_int_equal(ct_op_by_id(c, "nope"), CT_NONE);
	const struct ct_op *op = &c->ops[ct_op_by_id(c, "read")];
	assert_true(ct_find_param(c, op, CT_IN_PATH, "path")->rest);
	assert_null(ct_find_param(c, op, CT_IN_QUERY, "path"));
}

static const struct contract *const all[] = { &contract_sbx, &contract_wrenn, &contract_voidrun, &contract_freestyle,
	&contract_mcp_v8, &contract_molecule };

/* Every operation of every contract is found in the one router, under the path that ct_path makes for it. */
static void t_round_trip(void **state)
{
	(void)state;
	static const char *const values[] = { "a%2F ?", "b.c", "d", "e", "f", "g", "h", "i" };
	struct err err = ERR_INIT;
	struct router *r = router_new(all, ARRAY_LEN(all), &err);
	size_t operations = 0, same = 0;

	if (!r)
		fail_msg("%s", err.msg);
	for (size_t d = 0; d < ARRAY_LEN(all); d++) {
		const struct contract *c = all[d];
		operations += c->op_count;
		for (uint32_t i = 0; i < c->op_count; i++) {
			const struct ct_op *op = &c->ops[i];
			auto_buf path = BUF_INIT;
			struct ct_match m;
			size_t n = 0;
			for (uint32_t p = 0; p < op->param_count; p++)
				n += c->params[op->params + p].in == CT_IN_PATH;
			assert_int_equal(ct_path(c, i, values, n, &path, &err), 0);
			if (router_match(r, ct_s(c, op->method), path.p, &m, &err) != 0)
				fail_msg("%s: %s", path.p, err.msg);
			assert_int_equal(m.count, n);
			for (size_t v = 0; v < n; v++)
				assert_string_equal(m.values[v], values[v]);
			if (op->flags & CT_OP_SHARED) /* that of the first contract that has it answers for all */
				same++;
			else if (m.contract != d || m.op != i)
				fail_msg("%s %s is taken by %s", c->name, path.p, all[m.contract]->name);
			ct_match_free(&m);
		}
	}
	assert_int_equal(operations, SBX_OP_COUNT + 223 + 7); /* the originals', and what later Wrenn has */
	assert_int_equal(same, 2);
	router_free(r);
}

static void t_conflict(void **state)
{
	const struct built *b = *state;
	const struct contract *twice[] = { &b->c, &contract_sbx, &b->c };
	struct err err = ERR_INIT;

	assert_null(router_new(twice, ARRAY_LEN(twice), &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_string_equal(err.msg, "'root' of t and 'root' of t take the same requests");
}

/* What nobody takes is answered in the shape of the API that it was most likely meant for. */
static void t_owner(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "/nowhere", "sbx" },
		{ "/sbx/v1/nowhere", "sbx" },
		{ "/v1/capsules/x/nowhere", "wrenn" },
		{ "/v1/vms/x/nowhere", "freestyle" },
		{ "/api/sandboxes/x/nowhere", "voidrun" },
		{ "/api/fs/nowhere", "mcp-v8" },
		{ "/workspaces/x/nowhere", "molecule" },
	};
	struct err err = ERR_INIT;
	struct router *r = router_new(all, ARRAY_LEN(all), &err);

	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ct_match m;
		assert_int_equal(router_match(r, "GET", rows[i][0], &m, &err), -1);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		if (strcmp(all[m.contract]->name, rows[i][1]) != 0)
			fail_msg("%s: %s, not %s", rows[i][0], all[m.contract]->name, rows[i][1]);
		ct_match_free(&m);
	}
	router_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_routes),
		cmocka_unit_test(t_misses),
		cmocka_unit_test(t_escapes),
		cmocka_unit_test(t_long),
		cmocka_unit_test(t_path),
		cmocka_unit_test(t_round_trip),
		cmocka_unit_test(t_conflict),
		cmocka_unit_test(t_owner),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
