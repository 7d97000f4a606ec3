/* tree_kit: trees in one line of text, for tests. "a=one b/c=two! d/ e->target f|0600=x": blanks between, '=' content, '!' behind
 * it for 0755, '|MODE' before '=', '/' an empty folder ('|MODE' behind it: its mode), '->' a link. '~' stands for a newline, '_'
 * for a blank. */
#ifndef SBX_TESTS_TREE_KIT_H
#define SBX_TESTS_TREE_KIT_H

#include "shared/store/tree.h"
#include "tests/unit/store_dir.h"

struct kit_word {
	char *path, *text;
	struct entry e;
	struct hash tree;
	bool dir;
};

static inline void kit_parse(char *word, struct kit_word *out)
{
	char *text = strstr(word, "->"), *mode;
	size_t n;

	*out = (struct kit_word){ .path = word };
	if (text) {
		*text = '\0';
		out->e = (struct entry){ .mode = OBJECT_LINK_MODE, .link = text + 2, .link_len = strlen(text + 2) };
		out->e.size = out->e.link_len;
		out->e.data = (const uint8_t *)out->e.link;
		return;
	}
	text = strchr(word, '=');
	if (text)
		*text++ = '\0';
	mode = strchr(word, '|');
	out->e.mode = mode ? (uint32_t)strtoul(mode + 1, NULL, 8) : text ? OBJECT_FILE_MODE : OBJECT_DIR_MODE;
	if (mode)
		*mode = '\0';
	n = strlen(word);
	if (!text) {
		word[n - 1] = '\0';
		out->e.mode |= S_IFDIR;
		out->e.data = (const uint8_t *)"";
		return;
	}
	n = strlen(text);
	if (n && text[n - 1] == '!') {
		text[--n] = '\0';
		out->e.mode = 0755;
	}
	for (char *p = text; *p; p++)
		*p = *p == '~' ? '\n' : *p == '_' ? ' ' : *p;
	out->e.size = n;
	out->e.data = (const uint8_t *)text;
}

static inline struct hash kit_tree(struct store *s, const char *line)
{
	auto_free char *text = mem_strdup(line);
	struct kit_word words[64];
	struct tree_edit edits[64];
	struct err err = ERR_INIT;
	struct hash out = object_empty;
	size_t n = 0;
	char *save;

	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save), n++) {
		kit_parse(w, &words[n]);
		edits[n] = (struct tree_edit){ .path = words[n].path, .file = &words[n].e };
	}
	if (store_begin(s, true, &err) != 0 || tree_apply(s, &object_empty, edits, n, &out, &err) != 0 || store_end(s, &err) != 0)
		fail_msg("%s: %s", line, err.msg);
	return out;
}

static inline void kit_text(const struct entry *e, struct buf *out)
{
	if (e->chunked) {
		buf_fmt(out, "(%llu)", (unsigned long long)e->size);
		return;
	}
	for (uint64_t i = 0; i < e->size; i++)
		buf_ch(out, e->data[i] == '\n' ? '~' : e->data[i] == ' ' ? '_' : (char)e->data[i]);
}

static inline int kit_say_one(void *arg, const char *path, const struct child *c, bool is_dir, struct err *err)
{
	struct buf *b = arg;
	(void)err;

	if (is_dir && !hash_eq(&c->dir, &object_empty) && !(c->has_file && entry_is_dir_mode(&c->file)))
		return 0;
	buf_fmt(b, "%s%s%s", b->len ? " " : "", path, is_dir ? "/" : "");
	if (is_dir) {
		if (c->has_file && entry_is_dir_mode(&c->file))
			buf_fmt(b, "|%04o", c->file.mode & 07777);
		return 0;
	}
	if (!entry_is_link(&c->file) && c->file.mode != OBJECT_FILE_MODE && c->file.mode != 0755)
		buf_fmt(b, "|%04o", c->file.mode);
	buf_str(b, entry_is_link(&c->file) ? "->" : "=");
	kit_text(&c->file, b);
	if (c->file.mode == 0755)
		buf_ch(b, '!');
	return 0;
}

static inline void kit_say(struct store *s, const struct hash *tree, struct buf *out)
{
	struct err err = ERR_INIT;

	buf_clear(out);
	if (tree_walk(s, tree, kit_say_one, out, &err) != 0)
		fail_msg("%s", err.msg);
}

#endif
