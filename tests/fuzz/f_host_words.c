/* link: daemon/hosts/words.c shared/store/hash*.c | */
/*
 * What a host answers: first byte the verb, second the status in tens; a list goes on for as long as there is a cursor, page by
 * page (separated by NUL). Whatever it says, what is believed of it can stand in a path, on a terminal and in sums.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/sandbox.h"
#include "daemon/hosts/words.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Core's. */
char *net_text(const struct db_sandbox *row)
{
	(void)row;
	return mem_strdup("none");
}

static void check(bool so)
{
	if (!so)
		abort();
}

static void check_text(const char *s)
{
	for (; s && *s; s++)
		check((unsigned char)*s >= ' ' && *s != 0x7f && !((unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0));
}

/* It stands in a path as it is. */
static void check_word(const char *s)
{
	check(*s && !strpbrk(s, " /?#%&\r\n\t.\"'\\"));
	check_text(s);
}

static void check_figure(int64_t n)
{
	check(n >= 0 && n <= (int64_t)1 << 30);
}

static void check_all(const struct carry_ask *ask, const struct heard *h)
{
	for (size_t i = 0; i < h->box_count; i++) {
		const struct carry_box *b = &h->boxes[i];
		const char *const texts[] = { b->state, b->reason, b->accel, b->digest, b->mac };
		check_word(b->id);
		check(ask->verb == CARRY_LIST || !strcmp(b->id, ask->id));
		check(b->state && b->vcpus > 0 && b->memory_mb > 0 && b->run_vcpus > 0 && b->run_memory_mb > 0);
		check_figure(b->vcpus + b->run_vcpus);
		check_figure(b->memory_mb);
		check_figure(b->run_memory_mb);
		for (size_t t = 0; t < ARRAY_LEN(texts); t++)
			check_text(texts[t]);
	}
	for (size_t i = 0; i < h->point_count; i++)
		for (size_t f = 0; f < FIGURES; f++)
			check(!isinf(h->points[i].v[f]) && !(h->points[i].v[f] < 0));
	for (size_t i = 0; i < h->use_count; i++) {
		check_word(h->uses[i].id);
		for (size_t f = 0; f < FIGURES; f++)
			check(!isinf(h->uses[i].now.v[f]) && !(h->uses[i].now.v[f] < 0));
	}
	check_figure(h->shot.vcpus);
	check_figure(h->shot.memory_mb);
	check(h->shot.disk <= (uint64_t)1 << 50);
	check_text(h->shot.image);
	check_text(h->shot.parent);
	check_text(h->shot.accel);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const struct carry_ask ask = {
		.verb = (enum carry_verb)(data[0] % CARRY_VERBS), .id = "abc", .name = "keep", .range = "10m"
	};
	const char *body = (const char *)data + 2, *end = (const char *)data + size;
	struct heard heard = { 0 };
	int status = data[1] % 60 * 10;
	for (bool more = true; more;) {
		const char *stop = ask.verb == CARRY_LIST ? memchr(body, 0, (size_t)(end - body)) : NULL;
		size_t n = (size_t)((stop ? stop : end) - body);
		struct err err = ERR_INIT;
		int rc = words_hear(&ask, status, body, n, &heard, &err);
		check((rc == 0) == (err.code == ERR_OK) && (rc == 0 || err.msg[0]) && (rc || (status >= 200 && status < 300)));
		check(err.code != ERR_UNAUTHORIZED && err.code != ERR_FORBIDDEN);
		check_text(err.msg);
		check_text(err.hint);
		if (rc == 0)
			check_all(&ask, &heard);
		more = rc == 0 && heard.cursor && stop;
		if (more) {
			struct words w;
			check_word(heard.cursor);
			words_say(&ask, heard.cursor, &w);
			check(strstr(w.path.p, heard.cursor) && !buf_failed(&w.path));
			words_free(&w);
			body = stop + 1;
		}
	}
	heard_free(&heard);
	return 0;
}
