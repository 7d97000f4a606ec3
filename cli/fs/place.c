#include "cli/fs/place.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/fs/place_internal.h"
#include "cli/where.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* ---- which ---- */

static bool is_path(const char *text)
{
	return *text == '/' || *text == '.' || str_ends(text, "/");
}

static bool is_endpoint(const char *text)
{
	return strstr(text, "://") || str_starts(text, "unix:");
}

/* An endpoint that was written out, or a context. */
static struct place *open_daemon(
	struct cli *cli, const struct choice *choice, const char *name, const char *prefix, struct err *err)
{
	const struct config *config = cli_config(cli, err);
	struct endpoint ep = { 0 };
	struct buf secret = BUF_INIT;
	if (!config)
		return NULL;
	if (where_resolve(choice, config, &secret, &ep, err) == 0)
		return place_open_daemon(&ep, &secret, name, prefix);
	endpoint_free(&ep);
	buf_free(&secret);
	return NULL;
}

static struct place *open_context(struct cli *cli, const char *name, struct err *err)
{
	struct choice choice = { .context = name, .api_key = cli->globals.api_key };
	return open_daemon(cli, &choice, name, name, err);
}

struct place *place_open(struct cli *cli, const char *text, bool write, struct err *err)
{
	struct stat st;
	struct choice choice = { .host = text, .api_key = cli->globals.api_key };
	if (is_endpoint(text))
		return open_daemon(cli, &choice, text, "origin", err);
	if (is_path(text))
		return place_open_path(text, write, err);
	const struct config *config = cli_config(cli, err);
	if (!config)
		return NULL;
	bool known = strcmp(text, CONFIG_DEFAULT_CONTEXT) == 0 || config_context(config, text);
	if (known || stat(text, &st) || !S_ISDIR(st.st_mode)) {
		struct place *p = open_context(cli, text, err);
		if (!p && err->code == ERR_NOT_FOUND && !known)
			err_hint(err,
				"a remote is a path such as ./store, an endpoint such as ssh://HOST, or a context of 'sbx context "
				"ls'");
		return p;
	}
	return place_open_path(text, write, err);
}

int place_chosen(struct cli *cli, struct place **out, struct err *err)
{
	struct choice choice = cli_choice(cli);
	const struct config *config = cli_config(cli, err);
	if (!config)
		return -1;
	struct where w = where_pick(&choice, config);
	if (!w.s.value)
		return 0;
	struct endpoint ep = { 0 };
	struct buf secret = BUF_INIT;
	if (where_resolve(&choice, config, &secret, &ep, err)) {
		endpoint_free(&ep);
		buf_free(&secret);
		return -1;
	}
	if (ep.managed) {
		endpoint_free(&ep);
		buf_free(&secret);
		return 0;
	}
	*out = place_open_daemon(&ep, &secret, w.s.value, w.by_host ? "origin" : w.s.value);
	return 1;
}

/* ---- what all kinds share ---- */

void place_close(struct place *p)
{
	if (!p)
		return;
	free(p->name);
	free(p->prefix);
	p->ops->close(p);
}

const char *place_name(const struct place *p)
{
	return p->name;
}

const char *place_prefix(const struct place *p)
{
	return p->prefix;
}

struct client *place_client(struct place *p)
{
	return p->ops->client ? p->ops->client(p) : NULL;
}

int place_list(struct place *p, struct label_list *out, struct err *err)
{
	return p->ops->list(p, out, err);
}

int place_head(struct place *p, const char *name, struct hash *out, bool *exists, struct err *err)
{
	return label_check(name, err) ? -1 : p->ops->head(p, name, out, exists, err);
}

int place_log(struct place *p, const char *name, size_t limit, struct label_log *out, struct err *err)
{
	return label_check(name, err) ? -1 : p->ops->log(p, name, limit, out, err);
}

int place_move(struct place *p, const struct label_move *m, struct hash *current, bool *exists, struct err *err)
{
	return label_check(m->name, err) ? -1 : p->ops->move(p, m, current, exists, err);
}

int place_remove(struct place *p, const char *name, const struct hash *expected, struct err *err)
{
	return label_check(name, err) ? -1 : p->ops->remove(p, name, expected, err);
}

int place_rename(struct place *p, const char *from, const char *to, struct err *err)
{
	return label_check(from, err) || label_check(to, err) ? -1 : p->ops->rename(p, from, to, err);
}

int place_resolve(struct place *p, const char *text, struct ref *out, struct err *err)
{
	return p->ops->resolve(p, text, out, err);
}

int place_give(struct place *p, struct store *from, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	m->counts = (struct remote_counts){ 0 };
	return p->ops->give(p, from, trees, n, m, err);
}

int place_take(struct place *p, struct store *to, const struct hash *trees, size_t n, struct moving *m, struct err *err)
{
	m->counts = (struct remote_counts){ 0 };
	return p->ops->take(p, to, trees, n, m, err);
}

int place_stats(struct place *p, struct place_totals *out, struct err *err)
{
	return p->ops->stats(p, out, err);
}

int place_gc(struct place *p, bool dry, struct store_swept *out, struct err *err)
{
	return p->ops->gc(p, dry, out, err);
}

int moving_finish(struct remote_receiver *r, int rc, struct remote_counts *out, struct err *err)
{
	if (rc == 0)
		rc = remote_receiver_end(r, out, err);
	else
		remote_receiver_counts(r, out);
	remote_receiver_free(r);
	return rc;
}

int moving_step(struct moving *m, const char *noun, const struct remote_counts *c, struct err *err)
{
	if (m->progress)
		progress_count(m->progress, noun, c->objects, c->bytes);
	return m->cancel ? cancel_check(m->cancel, err) : 0;
}
