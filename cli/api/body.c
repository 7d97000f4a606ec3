#include "cli/api/body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api/value.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/yaml/yaml_tree.h"

#define INPUT_MAX ((size_t)16 << 20)
#define SECRET_MAX ((size_t)64 << 10)

/* ---- files ---- */

static int read_fd(int fd, size_t max, struct buf *out, struct err *err)
{
	char block[65536];
	for (;;) {
		ssize_t n = read(fd, block, sizeof(block));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read");
		if (n == 0)
			return 0;
		buf_add(out, block, (size_t)n);
		if (out->len > max || buf_failed(out))
			return err_set(err, ERR_TOO_LARGE, "more than %zu bytes", max);
	}
}

int body_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	path += *path == '@';
	if (strcmp(path, "-") == 0)
		return read_fd(STDIN_FILENO, max, out, err) ? err_prefix(err, "standard input") : 0;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? err_sys(err, errno, "cannot open '%s'", path) : read_fd(fd, max, out, err);
	if (rc && fd >= 0)
		err_prefix(err, "'%s'", path);
	if (rc && err)
		err->code = ERR_USAGE; /* the name that was given is a wrong value */
	return rc;
}

static js *parse_yaml(const char *name, const struct buf *text, struct err *err)
{
	struct yt_doc *doc = yt_parse(text->p, text->len, name, YT_LIMITS_DEFAULT, err);
	if (!doc)
		return NULL;
	auto_buf json = BUF_INIT;
	yt_json(yt_root(doc), &json);
	yt_free(doc);
	return js_parse(json.p, json.len, JS_LIMITS_DEFAULT, err);
}

js *body_input(const char *path, struct err *err)
{
	auto_buf text = BUF_INIT;
	const char *name = path + (*path == '@');
	if (strcmp(name, "-") == 0)
		name = "standard input";
	if (body_read(path, INPUT_MAX, &text, err))
		return NULL;
	size_t start = strspn(text.p, " \t\r\n");
	bool json = text.p[start] == '{' || text.p[start] == '[' || text.p[start] == '"';
	js *doc = json ? js_parse(text.p, text.len, JS_LIMITS_DEFAULT, err) : parse_yaml(name, &text, err);
	if (!doc && err) {
		if (json)
			err_prefix(err, "'%s'", name);
		err->code = ERR_USAGE;
		err_hint(err, "--input takes one JSON or YAML document");
	}
	return doc;
}

/* ---- flags ---- */

static const struct api_flag *twin_of(const struct api_flags *f, const struct api_flag *flag)
{
	const struct api_flag *next = flag + 1;
	return next < f->v + f->n && next->from_file && flag->secret && !flag->from_file ? next : NULL;
}

static bool given(const struct api_flags *f, const struct api_flag *flag)
{
	const struct api_flag *twin = twin_of(f, flag);
	return api_flag_values(f, flag)->n > 0 || (twin && api_flag_values(f, twin)->n > 0);
}

char *body_text(const struct api_flags *f, const struct api_flag *flag, struct err *err)
{
	const struct opt_list *values = api_flag_values(f, flag);
	const struct api_flag *twin = twin_of(f, flag);
	const struct opt_list *files = twin ? api_flag_values(f, twin) : NULL;
	size_t n = values->n + (files ? files->n : 0);
	if (n == 0)
		return NULL;
	if (n > 1) {
		err_set(err, ERR_USAGE, "option '--%s' is given more than once", flag->name);
		return NULL;
	}
	if (values->n)
		return mem_strdup(values->v[0]);
	auto_buf text = BUF_INIT;
	if (body_read(files->v[0], SECRET_MAX, &text, err))
		return NULL;
	while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
		text.p[--text.len] = '\0';
	return buf_take(&text, NULL);
}

/* Has one of the first n options "K=V" this key? */
static bool has_key(const struct opt_list *values, size_t n, const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < n; i++) {
		if (strncmp(values->v[i], key, len) == 0 && values->v[i][len] == '=')
			return true;
	}
	return false;
}

/* K=V options as an object. */
static int map_json(const struct api_flags *f, const struct api_flag *flag, const js *input, struct buf *out, struct err *err)
{
	const struct opt_list *values = api_flag_values(f, flag);
	const struct ct_schema *s = &f->c->schemas[flag->schema];
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	js_each (m, input) { /* those of --input that no flag says anew */
		if (has_key(values, values->n, js_key(m)))
			continue;
		jw_key(&w, js_key(m));
		jw_js(&w, m);
	}
	for (size_t i = 0; i < values->n; i++) {
		const char *eq = strchr(values->v[i], '=');
		if (!eq || eq == values->v[i])
			return err_set(err, ERR_USAGE, "option '--%s' takes KEY=VALUE, not '%s'", flag->name, values->v[i]);
		auto_free char *key = mem_strndup(values->v[i], (size_t)(eq - values->v[i]));
		if (has_key(values, i, key))
			return err_set(err, ERR_USAGE, "option '--%s' is given the key '%s' twice", flag->name, key);
		auto_buf value = BUF_INIT;
		if (value_json(f->c, s->items, eq + 1, &value, err))
			return -1;
		jw_key(&w, key);
		jw_raw(&w, value.p, value.len);
	}
	jw_obj_end(&w);
	return 0;
}

/* Repeated options as an array; one empty value is an empty array, and one JSON array is it. */
static int array_json(const struct api_flags *f, const struct api_flag *flag, struct buf *out, struct err *err)
{
	const struct opt_list *values = api_flag_values(f, flag);
	const struct ct_schema *s = api_shape(f->c, flag->schema);
	bool text_items = s->items != CT_NONE && f->c->schemas[s->items].type == CT_STRING;
	struct jw w;
	if (values->n == 1 && *values->v[0] == '[' && !text_items) {
		auto_js *v = js_parse(values->v[0], strlen(values->v[0]), JS_LIMITS_DEFAULT, NULL);
		if (js_type(v) == JS_ARRAY) {
			buf_str(out, values->v[0]);
			return 0;
		}
	}
	jw_init(&w, out);
	jw_arr(&w);
	for (size_t i = 0; i < values->n && !(values->n == 1 && *values->v[0] == '\0'); i++) {
		auto_buf item = BUF_INIT;
		if (value_json(f->c, s->items, values->v[i], &item, err))
			return -1;
		jw_raw(&w, item.p, item.len);
	}
	jw_arr_end(&w);
	return 0;
}

static int leaf_json(const struct api_flags *f, const struct api_flag *flag, const js *input, struct buf *out, struct err *err)
{
	if (api_flag_is_map(f->c, flag->schema))
		return map_json(f, flag, input, out, err);
	if (api_flag_repeats(f->c, flag)) {
		/* "string or list of strings": one value is the former */
		const struct opt_list *values = api_flag_values(f, flag);
		bool choice = f->c->schemas[flag->schema].type == CT_ANY;
		if (!(choice && values->n == 1))
			return array_json(f, flag, out, err);
	}
	auto_free char *text = body_text(f, flag, err);
	return text ? value_json(f->c, flag->schema, text, out, err) : -1;
}

/* ---- the document ---- */

struct writer {
	const struct api_flags *f;
	const struct opt_list *nulls;
	struct jw w;
	struct buf *out;
	struct err *err;
};

static bool is_null(const struct writer *w, const struct api_flag *flag)
{
	for (size_t i = 0; i < w->nulls->n; i++) {
		if (api_flag_find(w->f, w->nulls->v[i]) == flag)
			return true;
	}
	return false;
}

/* Is the flag set, and below these depth members? */
static bool below(const struct writer *w, const struct api_flag *flag, const struct ct_field *const *path, unsigned depth)
{
	if (flag->place != FLAG_BODY || flag->from_file || flag->depth <= depth || !(given(w->f, flag) || is_null(w, flag)))
		return false;
	for (unsigned d = 0; d < depth; d++)
		if (flag->path[d] != path[d])
			return false;
	return true;
}

/* Does a flag say something about this member? */
static bool touched(const struct writer *w, const struct ct_field *const *path, unsigned depth, const char *name)
{
	for (size_t i = 0; i < w->f->n; i++) {
		const struct api_flag *flag = &w->f->v[i];
		if (below(w, flag, path, depth) && strcmp(ct_s(w->f->c, flag->path[depth]->name), name) == 0)
			return true;
	}
	return false;
}

static int write_object(struct writer *w, const js *input, const struct ct_field *const *path, unsigned depth);

static int write_member(struct writer *w, const struct api_flag *flag, const js *input, unsigned depth) // NOLINT(misc-no-recursion)
{
	const char *name = ct_s(w->f->c, flag->path[depth]->name);
	const js *old = js_get(input, name);
	jw_key(&w->w, name);
	if (flag->depth > depth + 1)
		return write_object(w, old, flag->path, depth + 1);
	if (is_null(w, flag)) {
		jw_null(&w->w);
		return 0;
	}
	auto_buf value = BUF_INIT;
	if (leaf_json(w->f, flag, old, &value, w->err))
		return -1;
	jw_raw(&w->w, value.p, value.len);
	return 0;
}

/* Has an earlier flag written this member? */
static bool written(const struct writer *w, size_t index, const struct ct_field *const *path, unsigned depth)
{
	for (size_t i = 0; i < index; i++) {
		const struct api_flag *flag = &w->f->v[i];
		if (below(w, flag, path, depth) && flag->path[depth] == w->f->v[index].path[depth])
			return true;
	}
	return false;
}

/* NOLINTNEXTLINE(misc-no-recursion): FLAG_DEPTH */
static int write_object(struct writer *w, const js *input, const struct ct_field *const *path, unsigned depth)
{
	jw_obj(&w->w);
	js_each (m, input) {
		if (touched(w, path, depth, js_key(m)))
			continue;
		jw_key(&w->w, js_key(m));
		jw_js(&w->w, m);
	}
	for (size_t i = 0; i < w->f->n; i++) {
		const struct api_flag *flag = &w->f->v[i];
		if (!below(w, flag, path, depth) || written(w, i, path, depth))
			continue;
		if (write_member(w, flag, input, depth))
			return -1;
	}
	jw_obj_end(&w->w);
	return 0;
}

/* "'vcpus' must be at least 1" -> "option '--vcpus' must be at least 1". */
static void name_member(const struct api_flags *f, const char *text, struct buf *out)
{
	const char *open = strchr(text, '\'');
	size_t n = open ? strcspn(open + 1, "'") : 0;
	auto_free char *path = mem_strndup(n > 0 ? open + 1 : "", n);
	const struct api_flag *flag = n > 0 ? api_flag_at(f, path) : NULL;
	if (!flag) {
		buf_str(out, text);
		return;
	}
	buf_add(out, text, (size_t)(open - text));
	buf_fmt(out, "option '--%s'%s", flag->name, open + n + 2);
}

/* The hint names members too: "the first: 'persistence.priority' must be an integer". */
static int name_flag(const struct api_flags *f, const struct err *why, struct err *err)
{
	auto_buf message = BUF_INIT;
	auto_buf hint = BUF_INIT;
	name_member(f, why->msg, &message);
	name_member(f, why->hint, &hint);
	err_set(err, ERR_USAGE, "%s", message.p);
	return hint.len > 0 ? err_hint(err, "%s", hint.p) : -1;
}

static int check_nulls(const struct api_flags *f, const struct opt_list *nulls, struct err *err)
{
	for (size_t i = 0; i < nulls->n; i++) {
		const struct api_flag *flag = api_flag_find(f, nulls->v[i]);
		if (!flag || flag->place != FLAG_BODY)
			return err_set(err, ERR_USAGE, "--null: no option '--%s'", nulls->v[i] + strspn(nulls->v[i], "-"));
		if (given(f, flag))
			return err_set(err, ERR_USAGE, "option '--%s' is given a value and --null", flag->name);
	}
	return 0;
}

int body_json(const struct api_flags *f, const js *input, const struct opt_list *nulls, struct buf *out, struct err *err)
{
	struct writer w = { .f = f, .nulls = nulls, .out = out, .err = err };
	bool any = nulls->n > 0;
	if (check_nulls(f, nulls, err))
		return -1;
	for (size_t i = 0; i < f->n; i++)
		any = any || below(&w, &f->v[i], NULL, 0);
	jw_init(&w.w, out);
	if (input && js_type(input) != JS_OBJECT && any)
		return err_set(err, ERR_USAGE, "--input must be an object for options to be put over it");
	if (input && js_type(input) != JS_OBJECT)
		jw_js(&w.w, input);
	else if (write_object(&w, input, NULL, 0))
		return -1;
	struct err why = ERR_INIT;
	auto_js *doc = js_parse(out->p, out->len, JS_LIMITS_DEFAULT, &why);
	if (!doc)
		return err_set(err, ERR_USAGE, "the request: %s", why.msg);
	return ct_validate(f->c, f->body->schema, doc, &why) ? name_flag(f, &why, err) : 0;
}

int body_check_param(const struct api_flags *f, const struct api_flag *flag, const char *text, struct err *err)
{
	struct err why = ERR_INIT;
	if (ct_validate_text(f->c, flag->param, text, &why) == 0)
		return 0;
	size_t n = strlen(ct_s(f->c, flag->param->name)) + 2;
	return err_set(err, ERR_USAGE, "option '--%s'%s", flag->name, strlen(why.msg) >= n ? why.msg + n : why.msg);
}
