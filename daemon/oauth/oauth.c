#include "daemon/oauth/oauth.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/notify/exchange.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

enum step { ASK_TOKEN, ASK_USER, ASK_EMAILS };

struct login {
	struct oauth *o;
	struct login *prev, *next;
	enum step step;
	struct notify_request rq;
	struct exchange *exchange;
	int64_t deadline_ms;
	char token[GITHUB_TOKEN_MAX + 1];
	struct oauth_profile who;
	oauth_cb *cb;
	void *arg;
};

struct oauth {
	uv_loop_t *loop;
	const struct oauth_config *config;
	struct exchanges *exchanges; /* NULL until the first login: libcurl is loaded then */
	struct login *first;
	size_t count;
};

static void release_request(struct notify_request *rq)
{
	free(rq->url);
	for (size_t i = 0; i < ARRAY_LEN(rq->headers); i++)
		free(rq->headers[i]);
	buf_free(&rq->body);
}

/* Out of the list, and gone. */
static void end(struct login *l)
{
	struct oauth *o = l->o;
	if (l->prev)
		l->prev->next = l->next;
	else
		o->first = l->next;
	if (l->next)
		l->next->prev = l->prev;
	o->count--;
	release_request(&l->rq);
	free(l);
}

static void tell(struct login *l, const struct err *err)
{
	l->cb(l->arg, err ? NULL : &l->who, err);
	end(l);
}

static void on_answer(void *arg, const struct exchange_answer *answer);

static int ask(struct login *l, enum step step, const char *code, struct err *err)
{
	const struct oauth_config *c = l->o->config;
	struct notify_request rq = { .method = step == ASK_TOKEN ? "POST" : "GET", .body = BUF_INIT };
	rq.headers[0] = mem_strdup("Accept: application/json");
	if (step == ASK_TOKEN) {
		rq.url = mem_printf("%s/login/oauth/access_token", c->site);
		github_token_form(c, code, &rq.body);
	} else {
		rq.url = mem_printf("%s/user%s", c->api, step == ASK_USER ? "" : "/emails");
		rq.headers[1] = mem_printf("Authorization: Bearer %s", l->token);
	}
	release_request(&l->rq);
	l->rq = rq;
	l->step = step;
	l->exchange = exchange_start(l->o->exchanges, &l->rq, l->deadline_ms - clock_mono_ms(), on_answer, l, err);
	return l->exchange ? 0 : -1;
}

/* What an answer says. 1 when that was the last one, 0 when another question was asked. */
static int take(struct login *l, const struct exchange_answer *a, struct err *err)
{
	static const char *const asked[] = { [ASK_TOKEN] = "token", [ASK_USER] = "profile", [ASK_EMAILS] = "addresses" };
	if (a->status == 0) {
		*err = *a->err;
		return -1;
	}
	if (a->status != 200)
		return err_set(err, ERR_PROTOCOL, "the request for the %s was answered with status %d", asked[l->step], a->status);
	switch (l->step) {
	case ASK_TOKEN:
		return github_read_token(a->body, a->n, l->token, err) ? -1 : ask(l, ASK_USER, NULL, err);
	case ASK_USER:
		if (github_read_user(a->body, a->n, &l->who, err))
			return -1;
		return *l->who.email ? 1 : ask(l, ASK_EMAILS, NULL, err);
	case ASK_EMAILS:
		return github_read_emails(a->body, a->n, &l->who, err) ? -1 : 1;
	}
	return err_set(err, ERR_INTERNAL, "an answer that nobody asked for");
}

static void on_answer(void *arg, const struct exchange_answer *answer)
{
	struct login *l = arg;
	struct err err = ERR_INIT;
	l->exchange = NULL;
	int rc = take(l, answer, &err);
	if (rc)
		tell(l, rc < 0 ? &err : NULL);
}

struct oauth *oauth_new(uv_loop_t *loop, const struct oauth_config *config)
{
	struct oauth *o = mem_zalloc(sizeof(*o));
	o->loop = loop;
	o->config = config;
	return o;
}

void oauth_close(struct oauth *o)
{
	struct err err = ERR_INIT;
	if (!o)
		return;
	err_set(&err, ERR_UNAVAILABLE, "the daemon is going down");
	for (struct login *l = o->first, *next; l; l = next) {
		next = l->next;
		exchange_cancel(l->exchange);
		tell(l, &err);
	}
	exchanges_close(o->exchanges);
	free(o);
}

bool oauth_serves(const struct oauth *o, const char *provider)
{
	return o && o->config->client_id && !strcmp(provider, "github");
}

const struct oauth_config *oauth_config(const struct oauth *o)
{
	return o->config;
}

int oauth_login(struct oauth *o, const char *code, oauth_cb *cb, void *arg, struct err *err)
{
	if (o->count >= OAUTH_LOGINS_MAX)
		return err_set(err, ERR_LIMIT, "%d logins are under way", OAUTH_LOGINS_MAX);
	if (!o->exchanges)
		o->exchanges = exchanges_new(o->loop, "logins", true, err);
	if (!o->exchanges)
		return -1;
	struct login *l = mem_zalloc(sizeof(*l));
	*l = (struct login){ .o = o, .next = o->first, .rq.body = BUF_INIT, .cb = cb, .arg = arg };
	l->deadline_ms = clock_mono_ms() + OAUTH_LIMIT_MS;
	if (l->next)
		l->next->prev = l;
	o->first = l;
	o->count++;
	if (ask(l, ASK_TOKEN, code, err) == 0)
		return 0;
	end(l);
	return -1;
}
