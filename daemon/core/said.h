/* said: what a child that makes images says on its standard output (daemon/say.h), read line by line. */
#ifndef SBX_CORE_SAID_H
#define SBX_CORE_SAID_H

#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

enum { SAID_LINE_MAX = 4096 };

struct said {
	void (*on_line)(void *arg, const char *phase, const char *text);
	void *arg;
	struct buf line;
	struct err failure; /* the reason it gave for its failure, or ERR_OK */
};

void said_init(struct said *s, void (*on_line)(void *arg, const char *phase, const char *text), void *arg);
void said_free(struct said *s);
/* Memory for the next SAID_LINE_MAX bytes, or NULL; then tell how many came. */
char *said_room(struct said *s);
void said_take(struct said *s, size_t n);

#endif
