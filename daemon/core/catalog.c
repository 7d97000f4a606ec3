#include "daemon/core/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/core/internal.h"
#include "daemon/core/pool.h"
#include "daemon/image/image.h"
#include "daemon/image/library.h"
#include "daemon/image/resolve.h"
#include "daemon/vm/template.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SCHEME "sha256:"
enum { SHORT_DIGEST = 12, KEY_LENGTH = 16 };
_Static_assert(CATALOG_TAG_SIZE == LIBRARY_TAG_MAX + 1, "a tag fits");

/* ---- what they are ---- */

static int not_found(const char *name, struct err *err)
{
	err_set(err, ERR_NOT_FOUND, "no image '%s'", name);
	return err_hint(err, "list them with: sbx image ls");
}

void catalog_release(struct catalog_image *image)
{
	char *const texts[] = { image->name, image->key, image->kernel, image->digest, image->source, image->user, image->workdir };
	char **const lists[] = { image->tags, image->env, image->entrypoint, image->cmd, image->ports, image->labels };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		drop_list(lists[i]);
	*image = (struct catalog_image){ 0 };
}

static void get_recipe(struct core *core, const char *name, struct catalog_image *out)
{
	struct image image = { 0 };
	bool built = image_find(core->cache, name, &image, NULL) == 1;
	*out = (struct catalog_image){ .name = mem_strdup(name), .state = built ? "built" : "unbuilt" };
	if (builder_is_building(core->builder, name))
		out->state = "building";
	if (!built)
		return;
	out->key = mem_strdup(image.key);
	out->kernel = mem_strdup(image.kernel_version);
	out->size_bytes = image.size_bytes;
	out->created_ms = image.created_wall_ms;
	image_free(&image);
}

/* "app:latest" is shown as "app". */
static char *shown_name(const char *tag)
{
	return str_ends(tag, ":latest") ? mem_strndup(tag, strlen(tag) - strlen(":latest")) : mem_strdup(tag);
}

/* Takes what is in `own`, but for its tags. */
static void get_own(struct core *core, struct library_image *own, const char *tag, struct catalog_image *out)
{
	auto_free char *name = mem_printf(SCHEME "%s", own->digest);
	struct oci_config *c = &own->config;
	*out = (struct catalog_image){ .state = builder_is_building(core->builder, name) ? "building" : "built",
		.size_bytes = own->size_bytes,
		.created_ms = own->created_wall_ms };
	out->name = tag ? shown_name(tag) : mem_strndup(own->digest, SHORT_DIGEST);
	out->key = mem_strndup(own->digest, KEY_LENGTH);
	out->digest = mem_strdup(name);
	out->source = mem_steal(&own->source);
	out->tags = mem_steal(&own->tags);
	out->user = mem_steal(&c->user);
	out->workdir = mem_steal(&c->workdir);
	out->env = mem_steal(&c->env);
	out->entrypoint = mem_steal(&c->entrypoint);
	out->cmd = mem_steal(&c->cmd);
	out->ports = mem_steal(&c->ports);
	out->labels = mem_steal(&c->labels);
	struct image image;
	if (image_open(core->cache, own->dir, &image, NULL) == 1) {
		out->kernel = mem_strdup(image.kernel_version);
		image_free(&image);
	}
}

/* 0, or -1 with NOT_FOUND and others. */
static int find_own(struct core *core, const char *name, struct library_image *out, struct err *err)
{
	int found = library_find(core->home, name, out, err);
	return found == 1 ? 0 : found < 0 ? -1 : not_found(name, err);
}

int catalog_get(struct core *core, const char *name, struct catalog_image *out, struct err *err)
{
	struct library_image own;
	char tag[CATALOG_TAG_SIZE];
	*out = (struct catalog_image){ 0 };
	if (resolve_is_recipe(name)) {
		get_recipe(core, name, out);
		return 0;
	}
	if (find_own(core, name, &own, err))
		return -1;
	bool tagged = false;
	if (library_tag_full(name, tag, NULL) == 0)
		for (size_t i = 0; own.tags[i]; i++)
			tagged |= !strcmp(own.tags[i], tag);
	get_own(core, &own, tagged ? tag : NULL, out);
	library_release(&own);
	return 0;
}

struct each {
	void (*cb)(void *arg, const struct catalog_image *image);
	void *arg;
};

static void each_own(struct core *core, struct library_image *own, const struct each *e)
{
	struct catalog_image image;
	get_own(core, own, own->tags[0], &image);
	e->cb(e->arg, &image);
	for (size_t i = 1; image.tags[0] && image.tags[i]; i++) {
		free(image.name);
		image.name = shown_name(image.tags[i]);
		e->cb(e->arg, &image);
	}
	catalog_release(&image);
}

int catalog_each(struct core *core, void (*cb)(void *arg, const struct catalog_image *image), void *arg, struct err *err)
{
	struct each e = { cb, arg };
	struct library_image *own;
	size_t n;
	if (library_list(core->home, &own, &n, err))
		return -1;
	for (const char *const *name = image_recipes(); *name; name++) {
		struct catalog_image image;
		get_recipe(core, *name, &image);
		cb(arg, &image);
		catalog_release(&image);
	}
	for (int tagged = 1; tagged >= 0; tagged--)
		for (size_t i = 0; i < n; i++)
			if (own[i].tags && (own[i].tags[0] != NULL) == (tagged == 1))
				each_own(core, &own[i], &e);
	library_list_free(own, n);
	return 0;
}

/* ---- what a sandbox gets of them ---- */

void catalog_choice_free(struct catalog_choice *c)
{
	free(c->name);
	free(c->digest);
	drop_list(c->env);
	*c = (struct catalog_choice){ 0 };
}

int catalog_choose(struct core *core, const char *name, struct catalog_choice *out, struct err *err)
{
	struct library_image own;
	*out = (struct catalog_choice){ 0 };
	if (resolve_is_recipe(name)) {
		out->name = mem_strdup(name);
		out->memory_mb = image_memory_mb(name);
		return 0;
	}
	if (find_own(core, name, &own, err))
		return -1;
	*out = (struct catalog_choice){ .memory_mb = (unsigned)own.memory_mb };
	out->name = mem_printf(SCHEME "%s", own.digest);
	out->digest = mem_strdup(own.digest);
	out->env = mem_steal(&own.config.env);
	library_release(&own);
	return 0;
}

void catalog_defaults(struct core *core, const char *digest, char **user, char **workdir)
{
	struct library_image own;
	*user = *workdir = NULL;
	if (!digest || library_find(core->home, digest, &own, NULL) != 1)
		return;
	if (own.config.user[0])
		*user = mem_steal(&own.config.user);
	if (own.config.workdir[0])
		*workdir = mem_steal(&own.config.workdir);
	library_release(&own);
}

/* ---- tags ---- */

int catalog_tag_name(const char *tag, const char *from, char full[CATALOG_TAG_SIZE], struct err *err)
{
	if (!tag)
		library_tag_from(from ? from : "", full);
	else if (library_tag_full(tag, full, err))
		return -1;
	auto_free char *shown = shown_name(full);
	if (!resolve_is_recipe(shown))
		return 0;
	err_set(err, ERR_INVALID, "'%s' is an image of sbx itself", shown);
	return err_hint(err, "choose another name, or a version: %s:mine", shown);
}

int catalog_tag(struct core *core, const char *name, const char *tag, char full[CATALOG_TAG_SIZE], struct err *err)
{
	struct library_image own;
	if (catalog_tag_name(tag, NULL, full, err))
		return -1;
	if (resolve_is_recipe(name)) {
		err_set(err, ERR_INVALID, "'%s' is an image of sbx itself and can have no other name", name);
		return err_hint(err, "tags are for images that were imported");
	}
	if (find_own(core, name, &own, err))
		return -1;
	int rc = library_tag(core->home, full, own.digest, err);
	library_release(&own);
	return rc;
}

static int refuse_used(struct core *core, const char *name, const char *digest, struct err *err)
{
	auto_buf users = BUF_INIT;
	auto_free char *building = mem_printf(SCHEME "%s", digest);
	for (size_t i = 0; i < core->count; i++) {
		const struct db_sandbox *row = &core->boxes[i]->row;
		/* those of the pool are nobody's yet */
		if (core->boxes[i]->state != SANDBOX_POOLED && str_same(row->image_digest, digest) && users.len < 150)
			buf_fmt(&users, " %s", row->name ? row->name : row->id);
	}
	if (users.len) {
		err_set(err, ERR_STATE, "image '%s' is in use by sandboxes:%s", name, users.p);
		return err_hint(err, "remove them first: sbx rm%s", users.p);
	}
	if (builder_is_building(core->builder, building))
		return err_set(err, ERR_STATE, "a template of image '%s' is being made", name);
	return 0;
}

static int remove_image(struct core *core, const char *digest, struct err *err)
{
	pool_forget(core->pool, digest);
	return library_remove(core->home, digest, err);
}

int catalog_remove(struct core *core, const char *name, struct err *err)
{
	struct library_image own;
	char tag[CATALOG_TAG_SIZE] = "";
	if (resolve_is_recipe(name)) {
		err_set(err, ERR_INVALID, "'%s' is an image of sbx itself", name);
		return err_hint(err, "what was built of it is in the cache, which can be deleted when no VM runs");
	}
	if (find_own(core, name, &own, err))
		return -1;
	bool by_tag = false, others = false;
	if (library_tag_full(name, tag, NULL))
		tag[0] = '\0';
	for (size_t i = 0; own.tags[i]; i++) {
		bool same = !strcmp(own.tags[i], tag);
		by_tag |= same;
		others |= !same;
	}
	int rc = 0;
	if (by_tag && others)
		rc = library_untag(core->home, tag, err);
	else
		rc = refuse_used(core, name, own.digest, err) ? -1 : remove_image(core, own.digest, err);
	library_release(&own);
	return rc;
}

const char *catalog_acceleration(const struct core *core, char reason[256])
{
	enum vm_accel accel;
	return accel_known(core->cache, &accel, reason, NULL) == 1 ? accel_name(accel) : NULL;
}
