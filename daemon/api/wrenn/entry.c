#include "daemon/api/wrenn/entry.h"

#include <stdbool.h>
#include <string.h>

#include "shared/base/mem.h"

#define HOME "/root"

/* ---- paths ---- */

/* The path below the home, as Go's filepath.Join makes it. */
static char *join_home(const char *path)
{
	char *out = mem_zalloc(sizeof(HOME) + strlen(path) + 1), *end = out + strlen(HOME);
	memcpy(out, HOME, sizeof(HOME));
	while (*path) {
		size_t n = strcspn(path, "/");
		if (n == 2 && memcmp(path, "..", n) == 0) {
			char *slash = memrchr(out, '/', (size_t)(end - out));
			end = slash ? slash : out;
		} else if (n > 1 || (n == 1 && *path != '.')) {
			*end++ = '/';
			memcpy(end, path, n);
			end += n;
		}
		path += n + (path[n] == '/');
	}
	if (end == out)
		*end++ = '/';
	*end = '\0';
	return out;
}

char *wrenn_path(const char *path, size_t n, struct err *err)
{
	if (n == 0) {
		err_set(err, ERR_INVALID, "'path' is empty");
	} else if (n > WRENN_PATH_MAX) {
		err_set(err, ERR_INVALID, "'path' is longer than %d bytes", WRENN_PATH_MAX);
	} else if (memchr(path, '\0', n)) {
		err_set(err, ERR_INVALID, "'path' holds a NUL");
	} else if (path[0] == '~' && n > 1 && path[1] != '/') {
		err_set(err, ERR_INVALID, "'path' names the home of a user");
		err_hint(err, "'~' alone is the home of root; write other paths from the root");
	} else {
		auto_free char *text = mem_strndup(path, n);
		return path[0] == '/' ? mem_steal(&text) : join_home(text + (path[0] == '~'));
	}
	return NULL;
}

/* ---- files ---- */

void wrenn_permissions(const char *type, int64_t mode, char out[WRENN_PERMISSIONS])
{
	static const struct {
		const char *type, *letters;
	} types[] = { { "directory", "d" }, { "symlink", "L" }, { "block", "D" }, { "character", "D" }, { "fifo", "p" },
		{ "socket", "S" } };
	char *at = out;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(types[i].type, type))
			*at++ = types[i].letters[0];
	if (mode & 04000)
		*at++ = 'u';
	if (mode & 02000)
		*at++ = 'g';
	if (!strcmp(type, "character"))
		*at++ = 'c';
	if (mode & 01000)
		*at++ = 't';
	if (at == out)
		*at++ = '-';
	for (unsigned i = 0; i < 9; i++)
		*at++ = mode & (0400 >> i) ? "rwx"[i % 3] : '-';
	*at = '\0';
}

struct entry {
	const char *name, *path, *type, *owner, *group;
	const char *resolved, *resolved_type; /* NULL: no link, or one that leads nowhere */
	int64_t size, mode, modified_ms, resolved_mode;
};

static int unexpected(struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "the guest's description of a file is not understood");
}

static bool take_text(const js *v, const char *key, const char **out)
{
	*out = js_str(js_get(v, key), NULL);
	return *out != NULL;
}

/* Not an exact one above 2^53, which sparse files can be. */
static bool take_number(const js *v, const char *key, double least, double most, int64_t *out)
{
	const js *number = js_get(v, key);
	double d = js_num(number, 0);
	if (js_type(number) != JS_NUMBER || !(d >= least && d <= most))
		return false;
	*out = (int64_t)d;
	return true;
}

static bool take_entry(const js *v, struct entry *e)
{
	static const double most = 0x7ffffffffffffc00; /* of int64_t's that doubles have */
	*e = (struct entry){ 0 };
	if (!take_text(v, "name", &e->name) || !take_text(v, "path", &e->path) || !take_text(v, "type", &e->type) ||
		!take_text(v, "owner", &e->owner) || !take_text(v, "group", &e->group) ||
		!take_number(v, "size", 0, most, &e->size) || !take_number(v, "mode", 0, 07777, &e->mode) ||
		!take_number(v, "modifiedWallMs", -most, most, &e->modified_ms))
		return false;
	if (strcmp(e->type, "symlink") != 0 || !take_text(v, "resolved", &e->resolved))
		return true;
	return take_text(v, "resolvedType", &e->resolved_type) && take_number(v, "resolvedMode", 0, 07777, &e->resolved_mode);
}

/* The strings are those of the result. NULL: it is none. */
static js *read_entry(const char *text, size_t n, struct entry *e)
{
	auto_js *v = js_parse(text, n, JS_LIMITS_DEFAULT, NULL);
	return v && take_entry(v, e) ? mem_steal(&v) : NULL;
}

/* A link is what it leads to. */
static const char *type_of(const struct entry *e)
{
	static const char *const words[] = { "file", "directory" };
	const char *type = e->resolved ? e->resolved_type : e->type;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(words[i], type))
			return words[i];
	return "unknown";
}

static int64_t seconds(int64_t ms)
{
	return ms / 1000 - (ms % 1000 < 0);
}

static void put_entry(struct jw *w, const struct entry *e)
{
	char permissions[WRENN_PERMISSIONS];
	bool link = !strcmp(e->type, "symlink");
	wrenn_permissions(e->type, e->mode, permissions);
	jw_obj(w);
	jw_kstr(w, "name", e->name);
	jw_kstr(w, "path", e->path);
	jw_kstr(w, "type", type_of(e));
	jw_kint(w, "size", e->size);
	jw_kint(w, "mode", (link ? e->resolved_mode : e->mode) & 0777);
	jw_kstr(w, "permissions", permissions);
	jw_kstr(w, "owner", e->owner);
	jw_kstr(w, "group", e->group);
	jw_kint(w, "modified_at", seconds(e->modified_ms));
	if (link)
		jw_kstr(w, "symlink_target", e->resolved ? e->resolved : e->path);
	jw_obj_end(w);
}

int wrenn_write_entry(struct jw *w, const char *text, size_t n, struct err *err)
{
	struct entry e;
	auto_js *v = read_entry(text, n, &e);
	if (!v)
		return unexpected(err);
	put_entry(w, &e);
	return 0;
}

int wrenn_write_entries(struct jw *w, const char *text, size_t n, struct err *err)
{
	const char *end = text + n;
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		if (!nl)
			return unexpected(err);
		if (wrenn_write_entry(w, text, (size_t)(nl - text), err))
			return -1;
		text = nl + 1;
	}
	return 0;
}

int wrenn_is_folder(const char *text, size_t n, struct err *err)
{
	struct entry e;
	auto_js *v = read_entry(text, n, &e);
	return v ? !strcmp(type_of(&e), "directory") : unexpected(err);
}
