#include "cli/api/flags.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* Where in the body we are. */
struct place {
	const struct ct_field *path[FLAG_DEPTH];
	uint32_t schemas[FLAG_DEPTH + 1]; /* around it: none is entered twice */
	unsigned depth;
	const char *prefix; /* "template." */
	bool required;
};

static struct api_flag *add(struct api_flags *f, struct api_flag flag)
{
	f->v = mem_grow(f->v, f->n + 1, sizeof(*f->v));
	f->v[f->n] = flag;
	return &f->v[f->n++];
}

const struct api_flag *api_flag_find(const struct api_flags *f, const char *name)
{
	name += strspn(name, "-");
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].name, name) == 0)
			return &f->v[i];
	}
	return NULL;
}

/* Does the path go through the flag's member? Then rest is what is left of it behind. */
static bool goes_through(const struct api_flags *f, const struct api_flag *flag, const char *path, const char **rest)
{
	for (unsigned d = 0; d < flag->depth; d++) {
		const char *name = ct_s(f->c, flag->path[d]->name);
		size_t n = strlen(name);
		if (strncmp(path, name, n) != 0 || (path[n] != '\0' && path[n] != '.' && path[n] != '['))
			return false;
		path += n + (path[n] == '.');
	}
	*rest = path;
	return true;
}

const struct api_flag *api_flag_at(const struct api_flags *f, const char *path)
{
	const struct api_flag *around = NULL;
	for (size_t i = 0; i < f->n; i++) {
		const struct api_flag *flag = &f->v[i];
		const char *rest = "";
		if (flag->place != FLAG_BODY || flag->from_file || !goes_through(f, flag, path, &rest))
			continue;
		if (*rest == '\0' || *rest == '[')
			return flag;
		uint8_t type = f->c->schemas[flag->schema].type;
		if ((type == CT_OBJECT || type == CT_ANY) && (!around || flag->depth > around->depth))
			around = flag;
	}
	return around;
}

const struct ct_schema *api_shape(const struct contract *c, uint32_t schema)
{
	const struct ct_schema *s = &c->schemas[schema];
	for (uint32_t i = 0; s->type == CT_ANY && i < s->one_of_count; i++) {
		const struct ct_schema *a = &c->schemas[c->index_pool[s->one_of + i]];
		if (a->type == CT_ARRAY)
			return a;
	}
	return s;
}

bool api_flag_is_map(const struct contract *c, uint32_t schema)
{
	const struct ct_schema *s = &c->schemas[schema];
	return (s->flags & CT_MAP) && s->field_count == 0;
}

bool api_flag_repeats(const struct contract *c, const struct api_flag *flag)
{
	if (flag->schema == CT_NONE || flag->from_file)
		return false;
	return api_shape(c, flag->schema)->type == CT_ARRAY || api_flag_is_map(c, flag->schema);
}

bool api_flag_is_binary(const struct contract *c, const struct api_flag *flag)
{
	return flag->place == FLAG_FILE || (flag->schema != CT_NONE && c->schemas[flag->schema].format == CT_FMT_BINARY);
}

static void add_members(struct api_flags *f, uint32_t schema, const struct place *at);

static bool has_members(const struct contract *c, uint32_t schema)
{
	const struct ct_schema *s = &c->schemas[schema];
	if (s->type != CT_OBJECT && s->type != CT_ANY)
		return false;
	for (uint32_t i = 0; i < s->one_of_count; i++) {
		if (c->schemas[c->index_pool[s->one_of + i]].field_count > 0)
			return true;
	}
	return s->field_count > 0;
}

static bool entered(const struct place *at, uint32_t schema)
{
	for (unsigned i = 0; i <= at->depth; i++) {
		if (at->schemas[i] == schema)
			return true;
	}
	return false;
}

/* Some alternative takes a value that is no object: then the member itself has a flag, too. */
static bool takes_plain(const struct contract *c, uint32_t schema)
{
	const struct ct_schema *s = &c->schemas[schema];
	return s->one_of_count > 0;
}

static void add_leaf(struct api_flags *f, const struct api_flag *flag)
{
	add(f, *flag);
	if (!flag->secret || api_flag_repeats(f->c, flag))
		return;
	struct api_flag twin = *flag;
	twin.name = mem_printf("%s-file", flag->name);
	twin.from_file = true;
	twin.required = false;
	add(f, twin);
}

static void add_member(struct api_flags *f, const struct ct_field *field, const struct place *at, bool optional)
{
	const struct contract *c = f->c;
	const struct ct_schema *s = &c->schemas[field->schema];
	struct api_flag flag = { .place = FLAG_BODY,
		.depth = at->depth + 1,
		.schema = field->schema,
		.about = ct_s(c, s->description),
		.required = at->required && field->required && !optional && !(s->flags & CT_HAS_DEFAULT),
		.secret = s->flags & CT_SECRET };
	if (s->flags & CT_READ_ONLY)
		return;
	flag.name = mem_printf("%s%s", at->prefix, ct_s(c, field->flag));
	memcpy(flag.path, at->path, sizeof(flag.path));
	flag.path[at->depth] = field;
	bool enter = has_members(c, field->schema) && at->depth + 1 < FLAG_DEPTH && !entered(at, field->schema) && !s->brief;
	bool leaf = !enter || takes_plain(c, field->schema);
	if (api_flag_find(f, flag.name))
		leaf = false; /* another alternative has it */
	if (enter) {
		auto_free char *prefix = mem_printf("%s.", flag.name);
		struct place inner = *at;
		inner.path[inner.depth++] = field;
		inner.schemas[inner.depth] = field->schema;
		inner.prefix = prefix;
		inner.required = flag.required;
		if (leaf)
			add_leaf(f, &flag);
		else
			free(flag.name);
		add_members(f, field->schema, &inner);
	} else if (leaf) {
		add_leaf(f, &flag);
	} else {
		free(flag.name);
	}
}

/* Required ones first, as they are what a person looks for. */
static void add_fields(struct api_flags *f, const struct ct_schema *s, const struct place *at, bool optional)
{
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < s->field_count; i++) {
			const struct ct_field *field = &f->c->fields[s->fields + i];
			if (field->required == (pass == 0))
				add_member(f, field, at, optional);
		}
	}
}

/* The members of an object, those of its alternatives together. */
static void add_members(struct api_flags *f, uint32_t schema, const struct place *at) // NOLINT(misc-no-recursion): FLAG_DEPTH
{
	const struct ct_schema *s = &f->c->schemas[schema];
	add_fields(f, s, at, false);
	for (uint32_t i = 0; i < s->one_of_count; i++)
		add_fields(f, &f->c->schemas[f->c->index_pool[s->one_of + i]], at, true);
}

static void add_params(struct api_flags *f)
{
	for (uint32_t i = 0; i < f->op->param_count; i++) {
		const struct ct_param *p = &f->c->params[f->op->params + i];
		const struct ct_schema *s = &f->c->schemas[p->schema];
		if (p->in != CT_IN_QUERY && p->in != CT_IN_HEADER)
			continue;
		const struct api_flag *same = api_flag_find(f, ct_s(f->c, p->flag));
		if (same) { /* a member of the body has this name: where there is a raw body, the flag goes into the query */
			f->v[same - f->v].param = p;
			continue;
		}
		add_leaf(f,
			&(struct api_flag){ .name = mem_strdup(ct_s(f->c, p->flag)),
				.place = p->in == CT_IN_QUERY ? FLAG_QUERY : FLAG_HEADER,
				.param = p,
				.schema = p->schema,
				.about = ct_s(f->c, p->description ? p->description : s->description),
				.required = p->required && !(s->flags & CT_HAS_DEFAULT),
				.secret = p->secret || (s->flags & CT_SECRET) });
	}
}

/* Which of the operation's content types are used: the first structured one and the first raw one. Beside a raw body that is
 * preferred, an envelope around the same bytes is of no use. */
static void pick_bodies(struct api_flags *f)
{
	for (uint32_t i = 0; i < f->op->body_count; i++) {
		const struct ct_content *b = &f->c->contents[f->op->bodies + i];
		if (b->kind == CT_BODY_STREAM && !f->raw)
			f->raw = b;
		if (b->kind != CT_BODY_STREAM && !f->body && !(b->kind == CT_BODY_MULTIPART && f->raw))
			f->body = b;
	}
}

/* What must be given comes first, then what is at the top, then the members of members. A secret's twin stays with it. */
static int rank(const struct api_flag *flag)
{
	return flag->required ? 0 : flag->depth > 2 ? 3 : flag->depth > 1 ? 2 : 1;
}

static void sort(struct api_flags *f)
{
	auto_free struct api_flag *sorted = mem_array(f->n + 1, sizeof(*sorted));
	size_t n = 0;
	for (int r = 0; r <= 3; r++) {
		for (size_t i = 0; i < f->n; i++) {
			if (f->v[i].from_file || rank(&f->v[i]) != r)
				continue;
			sorted[n++] = f->v[i];
			if (i + 1 < f->n && f->v[i + 1].from_file)
				sorted[n++] = f->v[i + 1];
		}
	}
	if (n > 0)
		memcpy(f->v, sorted, n * sizeof(*sorted));
}

/* The value of an option is a text or a list of them: one kind of row serves all but booleans. */
static void make_table(struct api_flags *f)
{
	f->table = mem_array(f->n + 1, sizeof(*f->table));
	f->values = mem_array(f->n + 1, sizeof(*f->values));
	for (size_t i = 0; i < f->n; i++) {
		const struct api_flag *flag = &f->v[i];
		bool boolean = flag->schema != CT_NONE && !flag->from_file && f->c->schemas[flag->schema].type == CT_BOOLEAN;
		f->table[i] = (struct opt){ .kind = boolean ? OPT_SWITCH : OPT_LIST,
			.name = flag->name,
			.help = flag->about,
			.off = i * sizeof(*f->values) };
	}
	f->table[f->n] = (struct opt){ .kind = OPT_END };
}

void api_flags_init(struct api_flags *f, const struct contract *c, const struct ct_op *op)
{
	*f = (struct api_flags){ .c = c, .op = op };
	pick_bodies(f);
	if (f->raw)
		add(f,
			(struct api_flag){ .name = mem_strdup("file"),
				.place = FLAG_FILE,
				.schema = CT_NONE,
				.about = "File whose bytes are the body; - is standard input.",
				.required = !f->body && (op->flags & CT_OP_BODY_REQUIRED) });
	if (f->body && f->body->schema != CT_NONE) {
		struct place top = { .prefix = "", .required = true, .schemas = { f->body->schema } };
		add_members(f, f->body->schema, &top);
	}
	add_params(f);
	sort(f);
	make_table(f);
}

void api_flags_free(struct api_flags *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].name);
		if (f->values)
			free(f->values[i].v);
	}
	free(f->v);
	free(f->table);
	free(f->values);
	*f = (struct api_flags){ 0 };
}
