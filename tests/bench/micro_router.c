/* link: shared/contract/[a-z]*.c build/gen/sbx_contract.c build/gen/wrenn_contract.c build/gen/voidrun_contract.c build/gen/freestyle_contract.c build/gen/mcp-v8_contract.c build/gen/molecule_contract.c */
/* How many Freestyle create requests a second are routed, parsed and validated on one core: what the daemon does with one between
 * the socket and the handler. Prints requests a second, and the microseconds that making the router took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freestyle_contract.h"
#include "mcp-v8_contract.h"
#include "molecule_contract.h"
#include "sbx_contract.h"
#include "shared/base/util.h"
#include "shared/contract/router.h"
#include "voidrun_contract.h"
#include "wrenn_contract.h"

#define RUNS 400000

static const char body[] =
	"{\"name\":\"web\",\"ports\":[{\"port\":443,\"targetPort\":3000}],\"workdir\":\"/srv\",\"idleTimeoutSeconds\":600,"
	"\"persistence\":{\"type\":\"sticky\",\"priority\":5},\"aptDeps\":[\"git\",\"curl\"],\"additionalFiles\":{\"/etc/motd\":{\"content\":"
	"\"hello\"}},\"waitForReadySignal\":true}";

static bool one(const struct router *r)
{
	struct ct_match m;
	struct err err = ERR_INIT;
	if (router_match(r, "POST", "/v1/vms", &m, &err) != 0)
		return false;
	const struct contract *c = &contract_freestyle;
	const struct ct_content *content = &c->contents[c->ops[m.op].bodies];
	auto_js *v = js_parse(body, sizeof(body) - 1, JS_LIMITS_DEFAULT, &err);
	bool good = v && ct_validate(c, content->schema, v, &err) == 0;
	if (!good)
		(void)fprintf(stderr, "%s\n", err.msg);
	ct_match_free(&m);
	return good;
}

int main(void)
{
	static const struct contract *const all[] = { &contract_sbx, &contract_wrenn, &contract_voidrun, &contract_freestyle,
		&contract_mcp_v8, &contract_molecule };
	int64_t start = clock_mono_us();
	struct router *r = router_new(all, sizeof(all) / sizeof(*all), NULL);
	int64_t made = clock_mono_us();
	for (int i = 0; r && i < RUNS; i++) {
		if (!one(r))
			return 1;
	}
	int64_t done = clock_mono_us();
	if (!r)
		return 1;
	printf("%.0f %lld\n", RUNS * 1e6 / (double)(done - made), (long long)(made - start));
	router_free(r);
	return 0;
}
