#include "cli/api/describe.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api/api.h"
#include "cli/api/call.h"
#include "cli/help.h"
#include "shared/base/mem.h"

#define LEFT 30
#define ENUM_SHOWN 12

/* ---- parts ---- */

static void upper(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_ch(out, isalnum((unsigned char)*text) ? (char)toupper((unsigned char)*text) : '-');
}

/* Calls each for the name of every parameter in the path. */
static void each_id(const struct contract *c, const struct ct_op *op, void (*each)(void *arg, const struct ct_param *p), void *arg)
{
	for (const char *at = strchr(ct_s(c, op->path), '{'); at; at = strchr(at + 1, '{')) {
		auto_free char *name = mem_strndup(at + 1, strcspn(at + 1, "}"));
		const struct ct_param *p = ct_find_param(c, op, CT_IN_PATH, name);
		if (p)
			each(arg, p);
	}
}

struct ids {
	const struct contract *c;
	struct buf *out;
};

static void put_id(void *arg, const struct ct_param *p)
{
	const struct ids *ids = arg;
	buf_str(ids->out, ids->out->len > 0 && ids->out->p[ids->out->len - 1] != ' ' ? " " : "");
	upper(ids->out, ct_s(ids->c, p->flag));
}

void describe_ids(struct buf *out, const struct contract *c, const struct ct_op *op)
{
	each_id(c, op, put_id, &(struct ids){ c, out });
}

struct nth_id {
	size_t left;
	const struct ct_param *found;
};

static void take_id(void *arg, const struct ct_param *p)
{
	struct nth_id *nth = arg;
	if (nth->left-- == 0)
		nth->found = p;
}

const struct ct_param *describe_id(struct buf *name, const struct contract *c, const struct ct_op *op, size_t i)
{
	struct nth_id nth = { .left = i };
	each_id(c, op, take_id, &nth);
	if (nth.found)
		upper(name, ct_s(c, nth.found->flag));
	return nth.found;
}

static const char *type_word(const struct contract *c, uint32_t schema)
{
	static const char *const words[] = { "VALUE", "NULL", "BOOL", "INT", "NUMBER", "STRING", "JSON", "JSON" };
	return schema == CT_NONE || c->schemas[schema].type >= ARRAY_LEN(words) ? "VALUE" : words[c->schemas[schema].type];
}

void describe_value(struct buf *out, const struct contract *c, const struct api_flag *flag)
{
	if (api_flag_is_binary(c, flag) || flag->from_file) {
		buf_str(out, "FILE");
		return;
	}
	uint32_t schema = flag->schema;
	if (api_flag_is_map(c, schema)) {
		buf_str(out, "K=V");
		return;
	}
	if (api_flag_repeats(c, flag))
		schema = api_shape(c, schema)->items;
	if (schema != CT_NONE && c->schemas[schema].brief) {
		for (const char *s = ct_s(c, c->schemas[schema].brief); *s; s++)
			buf_ch(out, (char)toupper((unsigned char)*s));
		return;
	}
	if (schema == CT_NONE || c->schemas[schema].type != CT_BOOLEAN || schema != flag->schema)
		buf_str(out, type_word(c, schema));
}

void describe_plain(struct buf *out, const char *json)
{
	size_t n = strlen(json);
	bool quoted = n >= 2 && *json == '"';
	buf_add(out, json + quoted, quoted ? n - 2 : n);
}

static void put_enum(struct buf *out, const struct contract *c, const struct ct_schema *s)
{
	if (s->enum_count == 0)
		return;
	buf_str(out, s->enum_count == 1 ? " (only " : " (one of ");
	for (uint32_t i = 0; i < s->enum_count && i < ENUM_SHOWN; i++) {
		buf_str(out, i ? ", " : "");
		describe_plain(out, ct_s(c, c->enum_pool[s->enums + i]));
	}
	buf_str(out, s->enum_count > ENUM_SHOWN ? ", ...)" : ")");
}

static void put_range(struct buf *out, const struct ct_schema *s)
{
	bool min = s->flags & CT_HAS_MIN, max = s->flags & CT_HAS_MAX;
	if (min && max)
		buf_fmt(out, " (%.15g to %.15g)", s->min, s->max);
	else if (min)
		buf_fmt(out, " (%s %.15g)", s->flags & CT_EXCL_MIN ? "more than" : "at least", s->min);
	else if (max)
		buf_fmt(out, " (%s %.15g)", s->flags & CT_EXCL_MAX ? "less than" : "at most", s->max);
}

void describe_flag(struct buf *out, const struct contract *c, const struct api_flag *flag)
{
	if (flag->from_file) {
		auto_free char *name = mem_strndup(flag->name, strlen(flag->name) - strlen("-file"));
		buf_fmt(out, "Read --%s from this file; - is standard input.", name);
		return;
	}
	buf_str(out, *flag->about ? flag->about : "");
	if (flag->required)
		buf_str(out, *flag->about ? " (required)" : "(required)");
	if (flag->schema == CT_NONE)
		return;
	const struct ct_schema *s = &c->schemas[flag->schema];
	const struct ct_schema *value = s;
	if (api_flag_repeats(c, flag) && api_shape(c, flag->schema)->items != CT_NONE)
		value = &c->schemas[api_shape(c, flag->schema)->items];
	put_enum(out, c, value);
	put_range(out, value);
	if ((s->flags & CT_HAS_DEFAULT) && s->def) {
		buf_str(out, " (default ");
		describe_plain(out, ct_s(c, s->def));
		buf_ch(out, ')');
	}
	if (api_flag_repeats(c, flag))
		buf_str(out, " (repeatable)");
	if (s->flags & CT_DEPRECATED)
		buf_str(out, " (deprecated)");
}

/* As a shell reads it as one word. */
static void quote(struct buf *out, const char *word)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./_-";
	if (*word && strspn(word, safe) == strlen(word)) {
		buf_str(out, word);
		return;
	}
	buf_ch(out, '\'');
	for (; *word; word++)
		buf_str(out, *word == '\'' ? "'\\''" : (char[]){ *word, '\0' });
	buf_ch(out, '\'');
}

/* A value that the schema takes; words that a person will replace are in upper case. */
static void sample(struct buf *out, const struct contract *c, const struct api_flag *flag)
{
	uint32_t index = flag->schema;
	if (api_flag_is_binary(c, flag)) {
		buf_str(out, "@FILE");
		return;
	}
	if (api_flag_is_map(c, index)) {
		buf_str(out, "KEY=VALUE");
		return;
	}
	if (api_flag_repeats(c, flag))
		index = api_shape(c, index)->items;
	const struct ct_schema *s = index == CT_NONE ? NULL : &c->schemas[index];
	if (s && (s->flags & CT_HAS_DEFAULT) && s->def && s->type != CT_OBJECT)
		describe_plain(out, ct_s(c, s->def));
	else if (s && s->enum_count > 0)
		describe_plain(out, ct_s(c, c->enum_pool[s->enums]));
	else if (s && (s->type == CT_INTEGER || s->type == CT_NUMBER))
		buf_fmt(out, "%.15g", s->flags & CT_HAS_MIN ? s->min : 1.0);
	else if (s && s->type == CT_OBJECT)
		buf_str(out, "JSON");
	else
		upper(out, flag->depth > 0 ? ct_s(c, flag->path[flag->depth - 1]->flag) : flag->name);
}

void describe_example(struct buf *out, const struct api_flags *f)
{
	buf_fmt(out, "%s %s %s", f->c->name, ct_s(f->c, f->op->noun), ct_s(f->c, f->op->verb));
	describe_ids(out, f->c, f->op);
	size_t shown = 0;
	for (int pass = 0; pass < 2; pass++) { /* without required flags, the first one shows how it is done */
		for (size_t i = 0; i < f->n && !(pass == 1 && shown > 0); i++) {
			const struct api_flag *flag = &f->v[i];
			if (flag->from_file || (pass == 0 && !flag->required) || flag->place == FLAG_HEADER)
				continue;
			bool is_switch = flag->schema != CT_NONE && f->c->schemas[flag->schema].type == CT_BOOLEAN;
			buf_fmt(out, " --%s%s", flag->name, is_switch ? "" : " ");
			auto_buf value = BUF_INIT;
			if (!is_switch) {
				sample(&value, f->c, flag);
				quote(out, value.p);
			}
			shown++;
		}
	}
}

const char *describe_about(const struct contract *c, const char *noun)
{
	for (uint32_t i = 0; i < c->op_count; i++) {
		if (strcmp(ct_s(c, c->ops[i].noun), noun) != 0)
			continue;
		for (uint32_t t = 0; t < c->tag_count; t++) {
			if (c->tags[t].name == c->ops[i].tag)
				return ct_s(c, c->tags[t].description);
		}
	}
	return "";
}

/* ---- pages for the terminal ---- */

static void row(struct buf *out, const char *left, const char *right)
{
	if (strlen(left) > LEFT)
		buf_fmt(out, "  %s\n  %*s  %s\n", left, LEFT, "", right);
	else
		buf_fmt(out, "  %-*s  %s\n", *right ? LEFT : 0, left, right);
}

void describe_env(struct buf *out, const struct contract *c, const struct ct_op *op)
{
	for (uint32_t i = 0; i < c->env_url_count; i++)
		buf_fmt(out, "%s%s", out->len ? ", " : "", ct_s(c, c->enum_pool[c->env_url + i]));
	for (uint32_t i = 0; i < c->scheme_count; i++) {
		bool used = !op;
		for (uint32_t k = 0; op && k < op->security_count; k++)
			used = used || (c->index_pool[op->security + k] & ~CT_SCHEME_AND) == i;
		for (uint32_t k = 0; used && k < c->schemes[i].env_count; k++)
			buf_fmt(out, "%s%s", out->len ? ", " : "", ct_s(c, c->enum_pool[c->schemes[i].env + k]));
	}
}

static void environment(struct buf *out, const struct contract *c, const struct ct_op *op)
{
	auto_buf names = BUF_INIT;
	describe_env(&names, c, op);
	buf_fmt(out, "\nEnvironment:\n  %s%sSBX_HOST, SBX_API_KEY, SBX_CONTEXT\n", names.p, names.len ? ", " : "");
}

void describe_contract(struct buf *out, const struct contract *c)
{
	buf_fmt(out, "%s%s%s\n\nUsage:\n  sbx %s NOUN VERB [ids] [options]\n\nNouns:\n", c->title, *c->description ? ": " : "",
		c->description, c->name);
	for (size_t i = 0; api_noun(c, i) != CT_NONE; i++) {
		const char *noun = ct_s(c, c->ops[api_noun(c, i)].noun);
		buf_fmt(out, "  %-14s  %s\n", noun, describe_about(c, noun));
	}
	environment(out, c, NULL);
	struct api_flags f;
	api_flags_init(&f, c, &c->ops[0]);
	buf_str(out, "\nExamples:\n  sbx ");
	describe_example(out, &f);
	api_flags_free(&f);
	buf_fmt(out, "\n  sbx %s %s --help\n\nUse \"sbx %s NOUN --help\" for the verbs of a noun.\n", c->name,
		ct_s(c, c->ops[0].noun), c->name);
}

void describe_noun(struct buf *out, const struct contract *c, const char *noun)
{
	const char *about = describe_about(c, noun);
	const struct ct_op *first = NULL;
	if (*about)
		buf_fmt(out, "%s\n\n", about);
	buf_fmt(out, "Usage:\n  sbx %s %s VERB [ids] [options]\n\nVerbs:\n", c->name, noun);
	for (uint32_t i = 0; i < c->op_count; i++) {
		const struct ct_op *op = &c->ops[i];
		if (strcmp(ct_s(c, op->noun), noun) != 0)
			continue;
		auto_buf left = BUF_INIT;
		buf_fmt(&left, "%s ", ct_s(c, op->verb));
		describe_ids(&left, c, op);
		buf_fmt(out, "  %-26s  %s\n", left.p, ct_s(c, op->summary));
		first = first ? first : op;
	}
	if (!first)
		return;
	struct api_flags f;
	api_flags_init(&f, c, first);
	buf_str(out, "\nExamples:\n  sbx ");
	describe_example(out, &f);
	api_flags_free(&f);
	buf_fmt(out, "\n\nUse \"sbx %s %s VERB --help\" for the options of a command.\n", c->name, noun);
}

static void put_id_row(void *arg, const struct ct_param *p)
{
	const struct ids *ids = arg;
	auto_buf name = BUF_INIT;
	upper(&name, ct_s(ids->c, p->flag));
	row(ids->out, name.p, ct_s(ids->c, p->description));
}

static void put_flags(struct buf *out, const struct api_flags *f)
{
	if (f->n > 0)
		buf_str(out, "\nOptions:\n");
	for (size_t i = 0; i < f->n; i++) {
		auto_buf left = BUF_INIT;
		auto_buf value = BUF_INIT;
		auto_buf right = BUF_INIT;
		describe_value(&value, f->c, &f->v[i]);
		buf_fmt(&left, "--%s%s%s", f->v[i].name, value.len ? " " : "", value.p);
		describe_flag(&right, f->c, &f->v[i]);
		row(out, left.p, right.p);
	}
}

void describe_operation(struct buf *out, const struct api_flags *f)
{
	const struct contract *c = f->c;
	const struct ct_op *op = f->op;
	auto_buf ids = BUF_INIT;
	describe_ids(&ids, c, op);
	buf_fmt(out, "%s\n", ct_s(c, op->summary));
	if (op->description)
		buf_fmt(out, "\n%s\n", ct_s(c, op->description));
	buf_fmt(out, "\nUsage:\n  sbx %s %s %s%s%s [options]\n", c->name, ct_s(c, op->noun), ct_s(c, op->verb), ids.len ? " " : "",
		ids.p);
	if (ids.len > 0) {
		buf_str(out, "\nArguments:\n");
		each_id(c, op, put_id_row, &(struct ids){ c, out });
	}
	put_flags(out, f);
	buf_str(out, "\nCommon options:\n");
	help_options(out, op->flags & CT_OP_WEBSOCKET ? call_ws_table : call_table);
	buf_str(out, "\nGlobal options:\n");
	help_options(out, global_options);
	environment(out, c, op);
	buf_str(out, "\nExamples:\n  sbx ");
	describe_example(out, f);
	buf_fmt(out, "\n\nAPI: %s %s\n", ct_s(c, op->method), ct_s(c, op->path));
}
