#include "shared/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static const char *const names[] = { "error", "warn", "info", "debug" };

/* the level and whether $SBX_LOG has fixed it */
static atomic_int current = LOG_INFO_;
static atomic_bool fixed;

void log_set_level(enum log_level level)
{
	if (!atomic_load(&fixed))
		atomic_store(&current, (int)level);
}

void log_init_from_env(void)
{
	const char *want = getenv("SBX_LOG"); /* at start, before threads; NOLINT(concurrency-mt-unsafe) */
	for (size_t i = 0; want && i < ARRAY_LEN(names); i++)
		if (!strcmp(want, names[i])) {
			atomic_store(&current, (int)i);
			atomic_store(&fixed, true);
		}
}

/* What a terminal or a reader of lines would act upon: C0, DEL, C1 (also as UTF-8) and bytes that are no UTF-8. */
static bool harmless(const char *s, size_t len)
{
	unsigned char c = (unsigned char)s[0];
	if (len == 1)
		return c >= 0x20 && c != 0x7f;
	return len > 0 && !(c == 0xc2 && (unsigned char)s[1] < 0xa0);
}

static void add_escaped(struct buf *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t len = utf8_len(s + i, n - i);
		if (harmless(s + i, len)) {
			buf_add(out, s + i, len);
			i += len;
		} else {
			buf_fmt(out, "\\x%02x", (unsigned char)s[i++]);
		}
	}
}

void log_line(enum log_level level, const char *component, const char *fmt, ...)
{
	if ((int)level > atomic_load(&current) || (size_t)level >= ARRAY_LEN(names))
		return;
	auto_buf text = BUF_INIT;
	auto_buf line = BUF_INIT;
	char when[CLOCK_RFC3339_LEN];
	va_list ap;
	va_start(ap, fmt);
	buf_vfmt(&text, fmt, ap);
	va_end(ap);
	buf_fmt(&line, "%s %-5s %s: ", clock_rfc3339(clock_wall_ms(), when), names[level], component);
	add_escaped(&line, text.p, text.len);
	buf_ch(&line, '\n');
	/* one write, so that lines of several threads do not mix; a log that cannot be written is not worth dying for */
	if (!buf_failed(&line) && write(STDERR_FILENO, line.p, line.len) < 0)
		return;
}
