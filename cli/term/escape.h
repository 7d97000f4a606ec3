/*
 * escape: ssh's escape sequences in the keys that a person types: after a newline, ~. detaches, ~? asks for help and ~~
 * is one ~. Pure: bytes in, bytes out, and what was asked for.
 */
#ifndef SBX_CLI_ESCAPE_H
#define SBX_CLI_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

#define ESCAPE_NONE (-1)

/* A terminal's own report at the start of a line (shells ask where the cursor is) leaves us there: it is no typing. */
enum escape_state { ESCAPE_LINE_START, ESCAPE_WITHIN, ESCAPE_SEEN, ESCAPE_REPORT, ESCAPE_REPORT_BODY };
enum escape_event { ESCAPE_NOTHING, ESCAPE_DETACH, ESCAPE_HELP };

struct escape {
	int ch; /* ESCAPE_NONE = every byte passes */
	enum escape_state state;
};

/* From --escape: one character, ^X for a control character, or "none". USAGE otherwise. */
int escape_parse(const char *text, struct escape *e, struct err *err);

/* Pass in[0..n) to out, which has room for n + 1. Stops after the byte that made an event; *used tells how far it came.
 * Returns the bytes written to out. */
struct escape_io {
	const uint8_t *in;
	size_t n;
	uint8_t *out;
	size_t used;
	enum escape_event event;
};
size_t escape_feed(struct escape *e, struct escape_io *io);

/* Counts control sequences "ESC [ ... final" in a stream of bytes that comes in pieces: questions to the terminal in what it
 * is shown, its answers in what it sends. */
#define CSI_QUESTIONS "nc"
#define CSI_ANSWERS "Rnc"
struct csi {
	enum { CSI_NONE, CSI_ESC, CSI_BODY } state;
};
unsigned csi_count(struct csi *csi, const uint8_t *data, size_t n, const char *finals);

/* The character as a person types it, "~" or "^A", into out[8]. */
void escape_show(const struct escape *e, char out[8]);

#endif
