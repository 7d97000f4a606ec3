#include "cli/term/escape.h"

#include <ctype.h>
#include <string.h>

int escape_parse(const char *text, struct escape *e, struct err *err)
{
	*e = (struct escape){ .ch = ESCAPE_NONE };
	if (strcmp(text, "none") == 0)
		return 0;
	unsigned char first = (unsigned char)text[0];
	if (first == '^' && text[1] && !text[2]) {
		int upper = toupper((unsigned char)text[1]);
		if (upper >= '@' && upper <= '_') {
			e->ch = upper & 31;
			return 0;
		}
	} else if (first && !text[1] && first < 128 && first != '\r' && first != '\n') {
		e->ch = first;
		return 0;
	}
	return err_set(err, ERR_USAGE, "option '--escape' takes one character, ^X or 'none', not '%s'", text);
}

/* The byte after an escape character. Returns how many bytes went to out. */
static size_t after_escape(struct escape *e, uint8_t c, uint8_t *out, enum escape_event *event)
{
	if (c == '.' || c == '?') {
		*event = c == '.' ? ESCAPE_DETACH : ESCAPE_HELP;
		e->state = ESCAPE_LINE_START;
		return 0;
	}
	size_t n = 0;
	out[n++] = (uint8_t)e->ch;
	if (c != e->ch)
		out[n++] = c;
	e->state = c == '\r' || c == '\n' ? ESCAPE_LINE_START : ESCAPE_WITHIN;
	return n;
}

/* Where a byte that passes leaves us. */
static enum escape_state after_byte(enum escape_state state, uint8_t c)
{
	if (c == '\r' || c == '\n')
		return ESCAPE_LINE_START;
	if (state == ESCAPE_LINE_START && c == 27)
		return ESCAPE_REPORT;
	if (state == ESCAPE_REPORT && c == '[')
		return ESCAPE_REPORT_BODY;
	if (state == ESCAPE_REPORT_BODY && c >= ' ' && c < '@')
		return ESCAPE_REPORT_BODY;
	/* cursor position, device attributes, status, size, mode, focus */
	if (state == ESCAPE_REPORT_BODY && strchr("RcntyIO", c) && c)
		return ESCAPE_LINE_START;
	return ESCAPE_WITHIN;
}

size_t escape_feed(struct escape *e, struct escape_io *io)
{
	size_t n = 0;
	io->event = ESCAPE_NOTHING;
	for (io->used = 0; io->used < io->n && io->event == ESCAPE_NOTHING;) {
		uint8_t c = io->in[io->used++];
		if (e->state == ESCAPE_SEEN) {
			n += after_escape(e, c, io->out + n, &io->event);
			continue;
		}
		if (e->state == ESCAPE_LINE_START && c == e->ch) {
			e->state = ESCAPE_SEEN;
			continue;
		}
		e->state = after_byte(e->state, c);
		io->out[n++] = c;
	}
	return n;
}

unsigned csi_count(struct csi *csi, const uint8_t *data, size_t n, const char *finals)
{
	unsigned count = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = data[i];
		if (csi->state == CSI_NONE) {
			const uint8_t *esc = memchr(data + i, 27, n - i);
			if (!esc)
				break;
			i = (size_t)(esc - data);
			csi->state = CSI_ESC;
		} else if (csi->state == CSI_ESC) {
			csi->state = c == '[' ? CSI_BODY : c == 27 ? CSI_ESC : CSI_NONE;
		} else if (c < ' ' || c >= '@') {
			count += c && strchr(finals, c);
			csi->state = c == 27 ? CSI_ESC : CSI_NONE;
		}
	}
	return count;
}

void escape_show(const struct escape *e, char out[8])
{
	size_t n = 0;
	if (e->ch >= 0 && e->ch < 32)
		out[n++] = '^';
	if (e->ch >= 0)
		out[n++] = (char)(e->ch < 32 ? e->ch | 64 : e->ch);
	out[n] = '\0';
}
