/*
 * print: how the fs commands show entries, ids and times, and documents that are made here.
 */
#ifndef SBX_CLI_FS_PRINT_H
#define SBX_CLI_FS_PRINT_H

#include "cli/cli.h"
#include "shared/store/tree.h"

#define SHORT_ID 12 /* hex digits of an id where people read it: enough for ref.h to find it again */

/* A JSON document that grows. */
struct doc {
	struct buf text;
	struct jw w;
};
void doc_init(struct doc *d);
/* Its value, and the memory goes. NULL with err. */
js *doc_take(struct doc *d, struct err *err);
/* Print it (JSON and YAML only), and the memory goes. */
int doc_print(struct cli *cli, struct doc *d, struct err *err);
/* The same, and as a block of its members where no document is wanted. */
int doc_show(struct cli *cli, struct doc *d, struct err *err);
/* Whether documents are wanted at all. */
bool wants_doc(const struct cli *cli);

void doc_hash(struct doc *d, const char *key, const struct hash *id); /* NULL writes null */
/* A name or path: `key` as text, and when it is no UTF-8 the bytes as base64 beside it, as "rawName" for "name". */
void doc_name(struct doc *d, const char *key, const char *name, size_t n);
void doc_time(struct doc *d, const char *key, int64_t wall_ms);

/* Letters of an id. */
void print_short(struct buf *out, const struct hash *id);
/* "file", "folder", "symlink", "fifo", "socket", "block", "char" */
const char *entry_type(const struct entry *e);
/* Permission bits of a child's file part or folder. */
uint32_t child_mode(const struct child *c, bool is_dir);
/* "-rw-r--r--" */
void print_mode(struct buf *out, const char *type, uint32_t mode);
/* name, rawName, type, mode, size, id, target, as the daemon's TreeEntry has them: members of an open object. */
void doc_child(struct doc *d, const char *name, size_t n, const struct child *c, bool is_dir);
/* The id of an entry, or of a folder's tree. */
void child_id(const struct child *c, bool is_dir, struct hash *out);

/* A path for people: harmless where it goes to a terminal, its bytes elsewhere. */
void print_path(struct buf *out, const char *path, size_t n);
/* "2026-11-30 08:00:00" in local time. */
void print_time(struct buf *out, int64_t wall_ms);

#endif
