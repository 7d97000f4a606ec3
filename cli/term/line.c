#include "cli/term/line.h"

#define TYPED_MAX 4096

enum { CTRL_C = 3, CTRL_D = 4, CTRL_H = 8, CTRL_U = 21, DELETE = 127 };

/* The last character, of however many bytes. */
static void take_back(struct buf *line)
{
	while (line->len > 0) {
		unsigned char last = (unsigned char)line->p[--line->len];
		line->p[line->len] = '\0';
		if ((last & 0xc0) != 0x80)
			break;
	}
}

enum line_state line_feed(struct buf *line, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		switch (bytes[i]) {
		case '\r':
		case '\n':
			return LINE_DONE;
		case CTRL_C:
			return LINE_GIVEN_UP;
		case CTRL_D:
			if (line->len == 0)
				return LINE_END;
			break;
		case CTRL_H:
		case DELETE:
			take_back(line);
			break;
		case CTRL_U:
			buf_clear(line);
			break;
		default:
			if ((unsigned char)bytes[i] >= ' ' && line->len < TYPED_MAX)
				buf_ch(line, bytes[i]);
		}
	}
	return LINE_MORE;
}
