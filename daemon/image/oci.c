#include "daemon/image/oci.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define LIMITS ((struct js_limits){ .bytes = OCI_DOCUMENT_MAX, .depth = 32, .members = 20000 })
#define LIST_MAX 4096u
#define TEXT_MAX ((size_t)32 << 10)

int oci_digest(const char *text, char out[HASH_HEX], struct err *err)
{
	static const char scheme[] = "sha256:";

	if (!str_starts(text, scheme) || strlen(text) != strlen(scheme) + HASH_HEX - 1 ||
		strspn(text + strlen(scheme), "0123456789abcdef") != HASH_HEX - 1)
		return err_set(err, ERR_INVALID, "'%.80s' is no digest of the form sha256:<64 hex digits>", text);
	memcpy(out, text + strlen(scheme), HASH_HEX);
	return 0;
}

static js *parse(const char *text, size_t n, const char *what, struct err *err)
{
	js *v = js_parse(text, n, LIMITS, err);

	if (v && js_type(v) == JS_OBJECT)
		return v;
	if (v)
		err_set(err, ERR_INVALID, "not a JSON object");
	js_free(v);
	err_prefix(err, "the %s", what);
	return NULL;
}

static int read_descriptor(const js *v, const char *what, struct oci_blob *out, struct err *err)
{
	*out = (struct oci_blob){ .size = -1 };
	if (oci_digest(js_str(js_get(v, "digest"), ""), out->sha, err))
		return err_prefix(err, "%s", what);
	if (js_int(js_get(v, "size"), &out->size) || out->size < 0)
		return err_set(err, ERR_INVALID, "%s has no size", what);
	return out->size > OCI_BLOB_MAX ? err_set(err, ERR_TOO_LARGE, "%s has %lld bytes", what, (long long)out->size) : 0;
}

/* ---- index ---- */

/* An index names images of many machines, and things that are no images, which say that they are for "unknown". */
static bool is_for_us(const js *m)
{
	const js *platform = js_get(m, "platform");

	if (!platform)
		return true;
	return !strcmp(js_str(js_get(platform, "os"), ""), "linux") &&
		!strcmp(js_str(js_get(platform, "architecture"), ""), "amd64");
}

static int choose(const js *manifests, struct oci_blob *chosen, struct err *err)
{
	const js *one = NULL;
	auto_buf offered = BUF_INIT;

	js_each (m, manifests) {
		if (one && is_for_us(m) && strcmp(js_str(js_get(m, "digest"), ""), js_str(js_get(one, "digest"), "")) != 0) {
			err_set(err, ERR_CONFLICT, "there is more than one image for linux/amd64");
			return err_hint(err, "save one image only, or name the one that is meant");
		}
		if (is_for_us(m))
			one = m;
		else if (offered.len < 200)
			buf_fmt(&offered, "%s%.20s/%.20s", offered.len ? ", " : "",
				js_str(js_get(js_get(m, "platform"), "os"), "?"),
				js_str(js_get(js_get(m, "platform"), "architecture"), "?"));
	}
	if (!one)
		return err_set(
			err, ERR_NOT_FOUND, "there is no image for linux/amd64%s%s", offered.len ? ", only for " : "", offered.p);
	return read_descriptor(one, "the manifest", chosen, err);
}

/* ---- manifest ---- */

static int check_layer_type(const char *type, struct err *err)
{
	if (strstr(type, "encrypted"))
		return err_set(err, ERR_INVALID, "a layer is encrypted");
	/* kinds that are no file systems: signatures, charts, modules */
	if (*type && !strstr(type, "layer") && !strstr(type, "rootfs"))
		return err_set(err, ERR_INVALID, "a layer is of type '%.80s', which is no file system", type);
	return 0;
}

static int read_layers(const js *layers, struct oci_manifest *out, struct err *err)
{
	if (js_type(layers) != JS_ARRAY || js_count(layers) == 0)
		return err_set(err, ERR_INVALID, "the manifest has no layers: it is no image of a file system");
	if (js_count(layers) > OCI_LAYERS_MAX)
		return err_set(err, ERR_TOO_LARGE, "the image has more than %u layers", OCI_LAYERS_MAX);
	out->layers = mem_array(js_count(layers), sizeof(*out->layers));
	js_each (layer, layers) {
		if (check_layer_type(js_str(js_get(layer, "mediaType"), ""), err) ||
			read_descriptor(layer, "a layer", &out->layers[out->layer_count++], err))
			return -1;
	}
	return 0;
}

int oci_read_manifest(const char *text, size_t n, struct oci_manifest *out, struct oci_blob *chosen, struct err *err)
{
	*out = (struct oci_manifest){ 0 };
	auto_js *v = parse(text, n, "manifest", err);
	if (!v)
		return -1;
	if (js_type(js_get(v, "manifests")) == JS_ARRAY)
		return choose(js_get(v, "manifests"), chosen, err) ? -1 : 1;
	int64_t schema = 0;
	if (js_int(js_get(v, "schemaVersion"), &schema) || schema != 2) {
		err_set(err, ERR_INVALID, "the manifest is of a version that is not known (schemaVersion %lld)", (long long)schema);
		return err_hint(err, "images pushed in the last ten years have version 2: push it again with a newer tool");
	}
	if (!read_descriptor(js_get(v, "config"), "the configuration", &out->config, err) &&
		!read_layers(js_get(v, "layers"), out, err))
		return 0;
	oci_manifest_free(out);
	return -1;
}

/* ---- docker save ---- */

static int saved_path(const js *v, struct oci_blob *out, struct err *err)
{
	const char *path = js_str(v, "");

	*out = (struct oci_blob){ .size = -1 };
	if (!*path || strlen(path) > TEXT_MAX)
		return err_set(err, ERR_INVALID, "manifest.json names a file without a name");
	out->path = mem_strdup(path);
	return 0;
}

int oci_read_saved(const char *text, size_t n, struct oci_manifest *out, struct err *err)
{
	*out = (struct oci_manifest){ 0 };
	auto_js *v = js_parse(text, n, LIMITS, err);
	if (!v)
		return err_prefix(err, "manifest.json");
	if (js_type(v) != JS_ARRAY || js_count(v) == 0)
		return err_set(err, ERR_INVALID, "manifest.json names no image");
	if (js_count(v) > 1) {
		err_set(err, ERR_CONFLICT, "the archive holds %zu images", js_count(v));
		return err_hint(err, "save one image only");
	}
	const js *one = js_first(v), *layers = js_get(one, "Layers");
	if (js_type(layers) != JS_ARRAY || js_count(layers) == 0)
		return err_set(err, ERR_INVALID, "manifest.json names no layers");
	if (js_count(layers) > OCI_LAYERS_MAX)
		return err_set(err, ERR_TOO_LARGE, "the image has more than %u layers", OCI_LAYERS_MAX);
	int rc = saved_path(js_get(one, "Config"), &out->config, err);
	out->layers = mem_array(js_count(layers), sizeof(*out->layers));
	js_each (layer, layers)
		rc = rc ? rc : saved_path(layer, &out->layers[out->layer_count++], err);
	if (rc)
		oci_manifest_free(out);
	return rc;
}

static void blob_free(struct oci_blob *b)
{
	free(b->path);
}

void oci_manifest_free(struct oci_manifest *m)
{
	blob_free(&m->config);
	for (size_t i = 0; i < m->layer_count; i++)
		blob_free(&m->layers[i]);
	free(m->layers);
	*m = (struct oci_manifest){ 0 };
}

/* ---- configuration ---- */

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

void oci_config_free(struct oci_config *c)
{
	char **const lists[] = { c->env, c->entrypoint, c->cmd, c->ports, c->labels, c->layers };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		free_list(lists[i]);
	free(c->user);
	free(c->workdir);
	*c = (struct oci_config){ 0 };
}

/* Strings of an array; null is none. */
static int take_list(const js *v, const char *what, char ***out, struct err *err)
{
	size_t n = 0;

	if (js_count(v) > LIST_MAX || (v && js_type(v) != JS_ARRAY && js_type(v) != JS_NULL))
		return err_set(err, ERR_INVALID, "the configuration's '%s' is no list, or too long", what);
	*out = mem_array(js_count(v) + 1, sizeof(**out));
	js_each (item, v) {
		const char *text = js_str(item, NULL);
		if (!text || strlen(text) > TEXT_MAX)
			return err_set(err, ERR_INVALID, "the configuration's '%s' holds something else than text", what);
		(*out)[n++] = mem_strdup(text);
	}
	return 0;
}

/* Members of an object: names, or "name=value". */
static int take_members(const js *v, const char *what, bool values, char ***out, struct err *err)
{
	size_t n = 0;

	if (js_count(v) > LIST_MAX || (v && js_type(v) != JS_OBJECT && js_type(v) != JS_NULL))
		return err_set(err, ERR_INVALID, "the configuration's '%s' is no object, or too large", what);
	*out = mem_array(js_count(v) + 1, sizeof(**out));
	js_each (item, v) {
		const char *text = values ? js_str(item, NULL) : "";
		if (!text || strlen(js_key(item)) + strlen(text) > TEXT_MAX)
			return err_set(err, ERR_INVALID, "the configuration's '%s' holds something else than text", what);
		(*out)[n++] = values ? mem_printf("%s=%s", js_key(item), text) : mem_strdup(js_key(item));
	}
	return 0;
}

/* Of two variables with one name the later counts. */
static void drop_repeats(char **env)
{
	size_t kept = 0;

	for (size_t i = 0; env[i]; i++) {
		size_t name = strcspn(env[i], "=") + 1, j = i + 1;
		while (env[j] && strncmp(env[j], env[i], name) != 0)
			j++;
		if (env[j])
			free(env[i]);
		else
			env[kept++] = env[i];
	}
	env[kept] = NULL;
}

/* An environment of "K=V" only. */
static int take_env(const js *v, struct oci_config *out, struct err *err)
{
	if (take_list(v, "Env", &out->env, err))
		return -1;
	for (size_t i = 0; out->env[i]; i++)
		if (!strchr(out->env[i], '=') || out->env[i][0] == '=')
			return err_set(
				err, ERR_INVALID, "the configuration's variable '%.60s' has no name or no value", out->env[i]);
	drop_repeats(out->env);
	return 0;
}

static int take_diff_ids(const js *v, struct oci_config *out, struct err *err)
{
	char sha[HASH_HEX];

	if (js_type(v) != JS_ARRAY || js_count(v) > OCI_LAYERS_MAX)
		return err_set(err, ERR_INVALID, "the configuration names no layers: it is no image of a file system");
	out->layers = mem_array(js_count(v) + 1, sizeof(*out->layers));
	js_each (item, v) {
		if (oci_digest(js_str(item, ""), sha, err))
			return err_prefix(err, "the configuration's layers");
		out->layers[out->layer_count++] = mem_strdup(sha);
	}
	return 0;
}

static int take_config(const js *v, struct oci_config *out, struct err *err)
{
	const js *c = js_get(v, "config");
	const char *user = js_str(js_get(c, "User"), ""), *workdir = js_str(js_get(c, "WorkingDir"), "");

	out->user = mem_strdup(user);
	out->workdir = mem_strdup(workdir);
	if (take_env(js_get(c, "Env"), out, err) || take_list(js_get(c, "Entrypoint"), "Entrypoint", &out->entrypoint, err) ||
		take_list(js_get(c, "Cmd"), "Cmd", &out->cmd, err) ||
		take_members(js_get(c, "ExposedPorts"), "ExposedPorts", false, &out->ports, err) ||
		take_members(js_get(c, "Labels"), "Labels", true, &out->labels, err) ||
		take_diff_ids(js_get(js_get(v, "rootfs"), "diff_ids"), out, err))
		return -1;
	if (strlen(user) > 255)
		return err_set(err, ERR_INVALID, "the configuration's 'User' is too long");
	if (strlen(workdir) > 4095 || (*workdir && *workdir != '/'))
		return err_set(err, ERR_INVALID, "the configuration's 'WorkingDir' is no absolute path");
	return 0;
}

int oci_read_config(const char *text, size_t n, struct oci_config *out, struct err *err)
{
	*out = (struct oci_config){ 0 };
	auto_js *v = parse(text, n, "configuration", err);
	if (!v)
		return -1;
	const char *os = js_str(js_get(v, "os"), "linux"), *machine = js_str(js_get(v, "architecture"), "amd64");
	if (strcmp(os, "linux") != 0 || strcmp(machine, "amd64") != 0) {
		err_set(err, ERR_FORBIDDEN, "the image is for %.40s/%.40s", os, machine);
		return err_hint(err, "sandboxes are linux/amd64: take an image for these");
	}
	if (!take_config(v, out, err))
		return 0;
	oci_config_free(out);
	return -1;
}

static void write_list(struct jw *w, const char *key, char *const *list)
{
	if (!list || !list[0])
		return;
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; list[i]; i++)
		jw_str(w, list[i]);
	jw_arr_end(w);
}

/* "name=value" as members; a name alone has an empty object. */
static void write_members(struct jw *w, const char *key, char *const *list, bool values)
{
	if (!list || !list[0])
		return;
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; list[i]; i++) {
		size_t len = values ? strcspn(list[i], "=") : strlen(list[i]);
		auto_free char *name = mem_strndup(list[i], len);
		jw_key(w, name);
		if (values) {
			jw_str(w, list[i] + len + (list[i][len] == '='));
		} else {
			jw_obj(w);
			jw_obj_end(w);
		}
	}
	jw_obj_end(w);
}

static void write_wishes(struct jw *w, const struct oci_config *c)
{
	if (c->user && *c->user)
		jw_kstr(w, "User", c->user);
	write_members(w, "ExposedPorts", c->ports, false);
	write_list(w, "Env", c->env);
	write_list(w, "Entrypoint", c->entrypoint);
	write_list(w, "Cmd", c->cmd);
	if (c->workdir && *c->workdir)
		jw_kstr(w, "WorkingDir", c->workdir);
	write_members(w, "Labels", c->labels, true);
}

void oci_write_config(const struct oci_config *c, const char *sha, struct buf *out)
{
	struct jw w;
	auto_free char *digest = mem_printf("sha256:%s", sha);

	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "architecture", "amd64");
	jw_kstr(&w, "os", "linux");
	jw_key(&w, "config");
	jw_obj(&w);
	if (c)
		write_wishes(&w, c);
	jw_obj_end(&w);
	jw_key(&w, "rootfs");
	jw_obj(&w);
	jw_kstr(&w, "type", "layers");
	jw_key(&w, "diff_ids");
	jw_arr(&w);
	jw_str(&w, digest);
	jw_arr_end(&w);
	jw_obj_end(&w);
	jw_obj_end(&w);
}

void oci_write_plain(const char *sha, struct buf *out)
{
	oci_write_config(NULL, sha, out);
}
