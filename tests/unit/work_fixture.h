/* A store and room for folders, for the tests of push and checkout. */
#ifndef SBX_TEST_WORK_FIXTURE_H
#define SBX_TEST_WORK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shared/store/work.h"

struct fixture {
	char *root; /* a new folder; the store is root/store */
	struct store *s;
	struct work_options o;
	struct work_progress done;
	struct err err;
	struct buf said; /* warnings, differences, a line each */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Paths are below root; the folders above them are made. */
void put_file(struct fixture *f, const char *path, const char *text, mode_t mode);
void put_bytes(struct fixture *f, const char *path, const void *data, size_t n);
void put_link(struct fixture *f, const char *path, const char *to);
void put_dir(struct fixture *f, const char *path, mode_t mode);
/* Has the file this text? */
void check_file(struct fixture *f, const char *path, const char *text);
char *at(struct fixture *f, const char *path); /* freed at the end of the test */
bool there(struct fixture *f, const char *path);
mode_t mode_at(struct fixture *f, const char *path);

/* 0 or -1 with f->err; id as hex in a buffer of the fixture's. */
int push(struct fixture *f, const char *folder, struct hash *id);
const char *pushed(struct fixture *f, const char *folder); /* must work: its hex id */
int checkout(struct fixture *f, const struct hash *id, const char *folder);
/* What status says: lines like "A path". */
const char *status(struct fixture *f, const struct hash *id, const char *folder);
/* Wait until what was just written counts as old. */
void settle(void);
/* Two folders hold the same: names, modes, contents, link targets, device numbers. */
void check_same(struct fixture *f, const char *a, const char *b);
/* A pseudo-random byte row, the digest's: xorshift64 from 0x1235. */
void xorshift(uint8_t *out, size_t n, uint64_t seed);

#endif
