/* contract: an error in the words and the shape of its dialect (x-sbx-faults). */
#include <string.h>

#include "shared/contract/contract.h"

static const struct ct_fault *find_fault(const struct contract *c, const char *kind)
{
	for (uint32_t i = 0; kind && i < c->fault_count; i++) {
		if (strcmp(ct_s(c, c->faults[i].kind), kind) == 0)
			return &c->faults[i];
	}
	return NULL;
}

/* What stands for `name` in the shape. */
static void put_value(const char *name, size_t len, const struct ct_words *words, struct jw *w)
{
	const struct {
		const char *name, *value;
	} texts[] = { { "code", words->code }, { "message", words->message }, { "hint", words->hint } };

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (strlen(texts[i].name) == len && memcmp(texts[i].name, name, len) == 0) {
			jw_str(w, texts[i].value);
			return;
		}
	}
	jw_int(w, words->status);
}

/* Back to the comma before the member whose value would come next; sbxgen sees to it that there is one. */
static void drop_member(struct buf *out)
{
	while (out->len > 0 && out->p[out->len - 1] != ',')
		out->len--;
	if (out->len > 0)
		out->p[--out->len] = '\0';
}

static void write_shape(const char *shape, const struct ct_words *words, struct buf *out)
{
	for (;;) {
		const char *mark = strstr(shape, "\"$");
		buf_add(out, shape, mark ? (size_t)(mark - shape) : strlen(shape));
		if (!mark)
			return;
		const char *name = mark + 2;
		size_t len = strcspn(name, "\"");
		struct jw w;
		jw_init(&w, out);
		if (len == 4 && memcmp(name, "hint", len) == 0 && *words->hint == '\0')
			drop_member(out);
		else
			put_value(name, len, words, &w);
		shape = name + len + 1;
	}
}

/* A dialect's own text, the fault's in the place of $message. */
static void write_text(const char *text, const char *message, struct buf *out)
{
	static const char word[] = "$message";
	const char *mark = strstr(text, word);
	buf_add(out, text, mark ? (size_t)(mark - text) : strlen(text));
	if (mark) {
		buf_str(out, message);
		buf_str(out, mark + sizeof(word) - 1);
	}
}

struct ct_words ct_fault(const struct contract *c, const char *stage, const struct err *e, struct buf *out)
{
	const struct ct_fault *f = find_fault(c, stage);
	if (!f)
		f = find_fault(c, e->word);
	if (!f)
		f = find_fault(c, err_name(e->code));
	struct ct_words words = {
		.status = f && f->status ? f->status : err_status(e->code),
		.code = f && f->code ? ct_s(c, f->code) : err_name(e->code),
		.message = f && f->message ? ct_s(c, f->message) : e->msg,
		.hint = e->hint,
		.media = "application/json",
	};
	uint8_t as = f ? f->as : CT_AS_SHAPE;
	if (as == CT_AS_EMPTY) {
		words.media = NULL;
	} else if (as == CT_AS_TEXT) {
		words.media = "text/plain; charset=utf-8";
		write_text(words.message, e->msg, out);
	} else {
		write_shape(c->fault_shape, &words, out);
	}
	return words;
}
