#include "cli/complete.h"

#include <string.h>

#include "cli/api/api.h"
#include "cli/api/call.h"
#include "cli/api/describe.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/live.h"
#include "cli/verbs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

/* One completion. */
struct state {
	struct cli *cli;
	complete_live *live;
	struct buf *out;
	const char *word;	       /* that is being completed */
	size_t prefix;		       /* of it, before what is completed: "--output=" */
	const struct opt *sets[3];     /* where options are looked for; NULL = no more */
	const struct api_flags *flags; /* sets[0] is theirs; NULL */
	bool files, commands;
};

/* Where the words before the last one lead to, read as opt_parse reads them. */
struct walk {
	const struct opt *pending; /* the last word is its value */
	bool options;		   /* not ended by "--" or a remote command */
	size_t count;		   /* arguments */
	const char *first;	   /* of them */
	size_t used;		   /* words */
};

/* ---- candidates ---- */

static void put_about(struct buf *out, const char *about)
{
	for (; *about; about++)
		buf_ch(out, (unsigned char)*about < ' ' ? ' ' : *about);
}

static void put(struct state *s, const char *text, const char *about)
{
	if (!str_starts(text, s->word + s->prefix))
		return;
	buf_add(s->out, s->word, s->prefix);
	buf_fmt(s->out, "%s\t", text);
	put_about(s->out, about);
	buf_ch(s->out, '\n');
}

static void put_files(struct state *s)
{
	if (s->word[s->prefix] == '@')
		s->prefix++;
	s->files = true;
}

static void put_live(struct state *s, enum arg_kind kind)
{
	auto_buf lines = BUF_INIT;
	s->live(s->cli, kind, s->word + s->prefix, &lines);
	for (char *line = lines.p, *end; (end = strchr(line, '\n')); line = end + 1) {
		char *tab = memchr(line, '\t', (size_t)(end - line));
		*end = '\0';
		if (tab)
			*tab = '\0';
		put(s, line, tab ? tab + 1 : "");
	}
}

static void put_kind(struct state *s, enum arg_kind kind, size_t position)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD" };
	static const char *const shells[] = { "bash", "zsh", "fish" };
	static const char *const providers[] = { "discord", "slack", "teams", "googlechat", "telegram", "matrix", "webhook" };
	switch (kind) {
	case ARG_NONE:
		break;
	case ARG_METHOD:
		for (size_t i = 0; i < ARRAY_LEN(methods) && position == 0; i++)
			put(s, methods[i], "");
		break;
	case ARG_SHELL:
		for (size_t i = 0; i < ARRAY_LEN(shells); i++)
			put(s, shells[i], "");
		break;
	case ARG_COPY:
		put_live(s, kind);
		s->files = true;
		break;
	case ARG_CHANNEL_OR_PROVIDER:
		put_live(s, ARG_CHANNEL);
		for (size_t i = 0; i < ARRAY_LEN(providers); i++)
			put(s, providers[i], "");
		break;
	case ARG_FILE:
		s->files = true;
		break;
	case ARG_REF_FILE:
		put_live(s, kind);
		s->files = true;
		break;
	case ARG_REF:
	case ARG_SANDBOX:
	case ARG_SANDBOX_RUNNING:
	case ARG_SANDBOX_PAUSED:
	case ARG_SANDBOX_STOPPED:
	case ARG_SANDBOX_ALIVE:
	case ARG_IMAGE:
	case ARG_KEY:
	case ARG_SNAPSHOT:
	case ARG_CONTEXT:
	case ARG_LABEL:
	case ARG_TEAM:
	case ARG_MEMBER:
	case ARG_HOST:
	case ARG_CHANNEL:
		put_live(s, kind);
		break;
	}
}

/* ---- values of options ---- */

static void put_enum(struct state *s, const struct contract *c, const struct ct_schema *schema)
{
	for (uint32_t i = 0; i < schema->enum_count; i++) {
		auto_buf text = BUF_INIT;
		describe_plain(&text, ct_s(c, c->enum_pool[schema->enums + i]));
		put(s, text.p, "");
	}
	for (uint32_t i = 0; i < schema->one_of_count; i++) {
		const struct ct_schema *a = &c->schemas[c->index_pool[schema->one_of + i]];
		for (uint32_t k = 0; k < a->enum_count; k++) {
			auto_buf text = BUF_INIT;
			describe_plain(&text, ct_s(c, c->enum_pool[a->enums + k]));
			put(s, text.p, "");
		}
	}
}

static void put_flag_value(struct state *s, const struct api_flag *flag)
{
	const struct contract *c = s->flags->c;
	if (api_flag_is_binary(c, flag) || flag->from_file) {
		put_files(s);
		return;
	}
	uint32_t schema = flag->schema;
	if (api_flag_is_map(c, schema))
		return;
	if (api_flag_repeats(c, flag))
		schema = api_shape(c, schema)->items;
	if (schema != CT_NONE)
		put_enum(s, c, &c->schemas[schema]);
}

/* What the name of the option or of its value in the help says. */
static void put_named_value(struct state *s, const struct opt *o)
{
	static const struct {
		const char *name;
		enum arg_kind kind;
	} kinds[] = { { "SANDBOX", ARG_SANDBOX }, { "IMAGE", ARG_IMAGE }, { "SNAPSHOT", ARG_SNAPSHOT }, { "CONTEXT", ARG_CONTEXT },
		{ "context", ARG_CONTEXT }, { "TEAM", ARG_TEAM } };
	if (strcmp(o->arg, "FILE") == 0) {
		put_files(s);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(o->arg, kinds[i].name) == 0 || strcmp(o->name, kinds[i].name) == 0)
			put_kind(s, kinds[i].kind, 0);
	}
	for (size_t i = 0; s->flags && strcmp(o->arg, "OPTION") == 0 && i < s->flags->n; i++)
		put(s, s->flags->v[i].name, s->flags->v[i].about);
}

static void put_value(struct state *s, const struct opt *o)
{
	for (const char *const *c = o->choices; c && *c; c++)
		put(s, *c, "");
	if (o->kind == OPT_SWITCH) {
		put(s, "true", "");
		put(s, "false", "");
	} else if (s->flags && o >= s->flags->table && o < s->flags->table + s->flags->n) {
		put_flag_value(s, &s->flags->v[o - s->flags->table]);
	} else if (o->arg) {
		put_named_value(s, o);
	}
}

/* ---- options ---- */

static bool has_value(const struct opt *o)
{
	return o->kind != OPT_BOOL && o->kind != OPT_SWITCH && o->kind != OPT_MAYBE;
}

/* By name of so many bytes (NULL: by letter). */
static const struct opt *find(const struct state *s, const char *name, size_t len, char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(s->sets) && s->sets[i]; i++) {
		for (const struct opt *o = s->sets[i]; o->kind != OPT_END; o++) {
			if (name ? strlen(o->name) == len && memcmp(o->name, name, len) == 0 : o->letter == letter)
				return o;
		}
	}
	return NULL;
}

static void put_option(struct state *s, const struct opt *o)
{
	auto_buf about = BUF_INIT;
	if (s->flags && o >= s->flags->table && o < s->flags->table + s->flags->n)
		describe_flag(&about, s->flags->c, &s->flags->v[o - s->flags->table]);
	else
		buf_str(&about, o->help ? o->help : "");
	auto_free char *name = mem_printf("--%s", o->name), *no = mem_printf("--no-%s", o->name);
	const char letter[] = { '-', o->letter, '\0' };
	put(s, name, about.p);
	if (o->kind == OPT_SWITCH)
		put(s, no, about.p);
	if (o->letter && s->word[1] != '-')
		put(s, letter, about.p);
}

static void put_options(struct state *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->sets) && s->sets[i]; i++) {
		for (const struct opt *o = s->sets[i]; o->kind != OPT_END; o++)
			put_option(s, o);
	}
}

/* The first letter of "-abc" whose option takes a value; *rest is what follows it. NULL when there is none. */
static const struct opt *short_value(const struct state *s, const char *word, const char **rest)
{
	for (const char *c = word + 1; *c; c++) {
		const struct opt *o = find(s, NULL, 0, *c);
		if (o && has_value(o)) {
			*rest = c + 1;
			return o;
		}
	}
	return NULL;
}

/* The option of a word that begins with a dash, where it takes a value; *value is that value, NULL when it is the next word. */
static const struct opt *option_of(const struct state *s, const char *word, const char **value)
{
	*value = NULL;
	if (word[1] != '-') {
		const struct opt *o = short_value(s, word, value);
		if (o && **value == '=')
			++*value;
		else if (o && **value == '\0')
			*value = NULL;
		return o;
	}
	const char *eq = strchr(word, '=');
	const struct opt *o = find(s, word + 2, eq ? (size_t)(eq - word) - 2 : strlen(word) - 2, 0);
	*value = eq ? eq + 1 : NULL;
	return o && (has_value(o) || eq) ? o : NULL;
}

/* Where to ask for names may stand among the words. */
static void note_global(const struct state *s, const struct opt *o, const char *value)
{
	for (const struct opt *g = global_options; g->kind != OPT_END; g++) {
		if (g == o && g->kind == OPT_STR)
			*(const char **)(void *)((char *)&s->cli->globals + g->off) = value;
	}
}

/* stop_first: up to the first argument. */
static struct walk walk(const struct state *s, size_t n, char *const *words, int command_after, bool stop_first)
{
	struct walk w = { .options = true };
	for (; w.used < n; w.used++) {
		const char *word = words[w.used], *value;
		if (w.pending) {
			note_global(s, w.pending, word);
			w.pending = NULL;
		} else if (!w.options || word[0] != '-' || word[1] == '\0') {
			if (stop_first)
				break;
			if (command_after >= 0 && w.count >= (size_t)command_after)
				w.options = false;
			w.first = w.count == 0 ? word : w.first;
			w.count++;
		} else if (strcmp(word, "--") == 0) {
			w.options = false;
		} else {
			const struct opt *o = option_of(s, word, &value);
			w.pending = value ? NULL : o;
			if (o && value)
				note_global(s, o, value);
		}
	}
	return w;
}

/* The last word, where it belongs to an option. */
static bool complete_option(struct state *s, const struct walk *w)
{
	const char *value;
	if (w->pending) {
		put_value(s, w->pending);
		return true;
	}
	if (!w->options || s->word[0] != '-')
		return false;
	const struct opt *o = s->word[1] ? option_of(s, s->word, &value) : NULL;
	if (o && value) {
		s->prefix = (size_t)(value - s->word);
		put_value(s, o);
	} else {
		put_options(s);
	}
	return true;
}

/* ---- commands ---- */

/* Of a command whose first argument is a verb: that, or what follows it. */
static void complete_verb(struct state *s, const struct command *c, const struct walk *w)
{
	if (w->count == 0) {
		for (const struct verb *v = c->verbs; v->name; v++)
			put(s, v->name, v->usage);
		return;
	}
	const struct verb *v = verbs_find(c, w->first);
	if (v && (w->count == 1 ? v->max > 0 : v->max == NO_LIMIT))
		put_kind(s, v->args, w->count - 1);
}

/* What follows the name of a hand-written command. */
static void complete_command(struct state *s, const struct command *c, size_t n, char *const *words)
{
	static const struct opt none[] = { { .kind = OPT_END } };
	s->sets[0] = c->options ? c->options : none;
	s->sets[1] = global_options;
	struct walk w = walk(s, n, words, c->command_after, false);
	if (complete_option(s, &w))
		return;
	if (c->verbs) {
		complete_verb(s, c, &w);
		return;
	}
	if (c->command_after >= 0 && w.count >= (size_t)c->command_after) {
		s->commands = w.count == (size_t)c->command_after;
		s->files = !s->commands;
	} else if (w.count < c->max_args) {
		put_kind(s, c->args, w.count);
	}
}

/* What follows the verb of a generated one. */
static void complete_operation(struct state *s, const struct contract *c, uint32_t op, size_t n, char *const *words)
{
	struct api_flags f;
	api_flags_init(&f, c, &c->ops[op]);
	s->flags = &f;
	s->sets[0] = f.table;
	s->sets[1] = c->ops[op].flags & CT_OP_WEBSOCKET ? call_ws_table : call_table;
	s->sets[2] = global_options;
	struct walk w = walk(s, n, words, NO_COMMAND, false);
	(void)complete_option(s, &w); /* ids are the server's */
	s->flags = NULL;
	api_flags_free(&f);
}

static void put_nouns(struct state *s, const struct contract *c)
{
	for (size_t i = 0; api_noun(c, i) != CT_NONE; i++) {
		const char *noun = ct_s(c, c->ops[api_noun(c, i)].noun);
		put(s, noun, describe_about(c, noun));
	}
}

static void put_verbs(struct state *s, const struct contract *c, const char *noun)
{
	for (uint32_t i = 0; i < c->op_count; i++) {
		if (strcmp(ct_s(c, c->ops[i].noun), noun) == 0)
			put(s, ct_s(c, c->ops[i].verb), ct_s(c, c->ops[i].summary));
	}
}

static bool is_help(const char *word)
{
	return strcmp(word, "help") == 0;
}

/* words are those between the contract's name and the last. help: only names follow. */
static void complete_contract(struct state *s, const struct contract *c, size_t n, char *const *words, bool help)
{
	if (n > 0 && is_help(words[0])) {
		help = true;
		n--;
		words++;
	}
	if (n == 0)
		put_nouns(s, c);
	else if (n == 1)
		put_verbs(s, c, words[0]);
	else if (!help && api_operation(c, words[0], words[1]) != CT_NONE)
		complete_operation(s, c, api_operation(c, words[0], words[1]), n - 2, words + 2);
	if (n < 2 && s->word[0] == '-')
		put(s, "--help", "show this help");
}

static void put_group(struct state *s, const char *group)
{
	for (size_t i = 0; i < command_count; i++) {
		if (command_in_group(commands[i], group) && !commands[i]->hidden)
			put(s, commands[i]->name, commands[i]->summary);
	}
}

/* "image": what its commands do. */
static void put_group_name(struct state *s, const char *group)
{
	auto_buf about = BUF_INIT;
	for (size_t i = 0; i < command_count; i++) {
		if (command_in_group(commands[i], group) && !commands[i]->hidden)
			buf_fmt(&about, "%s%s", about.len ? ", " : "", commands[i]->name);
	}
	put(s, group, about.p);
}

static void put_commands(struct state *s)
{
	for (size_t i = 0; i < command_count; i++) {
		if (!commands[i]->group && !commands[i]->hidden)
			put(s, commands[i]->name, commands[i]->summary);
		else if (command_is_first(i))
			put_group_name(s, commands[i]->group);
	}
	for (size_t i = 0; api_at(i); i++)
		put(s, api_at(i)->name, api_at(i)->description);
	put(s, "help", "Show help");
}

/* From the command's name on. */
static void complete_name(struct state *s, size_t n, char *const *words, bool help)
{
	if (n == 0) {
		put_commands(s);
		return;
	}
	if (is_help(words[0]) && !help) {
		complete_name(s, n - 1, words + 1, true); // NOLINT(misc-no-recursion): once
		return;
	}
	const struct contract *contract = api_find(words[0]);
	const char *group = command_is_group(words[0]) ? words[0] : NULL;
	size_t taken = group ? 2 : 1;
	if (contract) {
		complete_contract(s, contract, n - 1, words + 1, help);
	} else if (group && n == 1) {
		put_group(s, group);
	} else if (!help) {
		const struct command *c = command_find(group, words[taken - 1]);
		if (c)
			complete_command(s, c, n - taken, words + taken);
	}
}

void complete_words(struct cli *cli, size_t n, char *const *words, complete_live *live, struct buf *out)
{
	struct state s = { .cli = cli, .live = live, .out = out, .word = n ? words[n - 1] : "" };
	size_t before = n ? n - 1 : 0;
	if (strpbrk(s.word, "\n\t")) { /* a candidate begins with it, and is one line up to a tab */
		buf_str(out, ":\n");
		return;
	}
	s.sets[0] = front_options;
	s.sets[1] = global_options;
	struct walk front = walk(&s, before, words, NO_COMMAND, true);
	if (front.used < before || !complete_option(&s, &front)) {
		s.sets[0] = s.sets[1] = NULL;
		complete_name(&s, before - front.used, words + front.used, false);
	}
	buf_str(out, ":");
	buf_str(out, s.files ? "files" : s.commands ? "commands" : "");
	if (s.files && s.prefix > 0)
		buf_fmt(out, " prefix=%zu", s.prefix);
	buf_ch(out, '\n');
}

int complete_run(struct cli *cli, int argc, char **argv)
{
	complete_words(cli, argc > 0 ? (size_t)argc : 0, argv, live_names, &cli->out);
	return 0;
}
