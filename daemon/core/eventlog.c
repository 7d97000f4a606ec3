#include "daemon/core/eventlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"
#include "shared/base/fs.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define EVENTLOG_MAX ((size_t)1 << 20)

struct eventlog_follow {
	struct eventlog *log; /* NULL when it has ended */
	struct eventlog_follow *next;
	event_cb *cb;
	void (*ended)(void *arg);
	void *arg;
};

struct eventlog {
	char *path;
	int fd;
	size_t size;
	struct eventlog_follow *followers;
};

struct eventlog *eventlog_new(const char *path)
{
	struct eventlog *log = mem_zalloc(sizeof(*log));
	log->path = mem_strdup(path);
	log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log->fd < 0) {
		struct err err = ERR_INIT;
		err_sys(&err, errno, "cannot open '%s'", path);
		log_warn("core", "%s", err.msg);
	}
	off_t end = log->fd < 0 ? 0 : lseek(log->fd, 0, SEEK_END);
	log->size = end > 0 ? (size_t)end : 0;
	return log;
}

void eventlog_free(struct eventlog *log)
{
	if (!log)
		return;
	struct eventlog_follow *followers = log->followers;
	log->followers = NULL;
	while (followers) {
		struct eventlog_follow *f = followers;
		followers = f->next;
		f->log = NULL;
		if (f->ended)
			f->ended(f->arg);
	}
	if (log->fd >= 0)
		close(log->fd);
	free(log->path);
	free(log);
}

/* Keep the newer half, from a line's start on. */
static void shrink(struct eventlog *log)
{
	auto_buf all = BUF_INIT;
	struct err err = ERR_INIT;
	if (fs_read(log->path, 4 * EVENTLOG_MAX, &all, &err))
		return;
	char *cut = all.len > EVENTLOG_MAX / 2 ? memchr(all.p + all.len - EVENTLOG_MAX / 2, '\n', EVENTLOG_MAX / 2) : NULL;
	if (!cut)
		return;
	buf_drop(&all, (size_t)(cut + 1 - all.p));
	if (fs_write_atomic(log->path, all.p, all.len, 0600, &err)) {
		log_warn("core", "%s", err.msg);
		return;
	}
	int fd = open(log->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return;
	close(log->fd);
	log->fd = fd;
	log->size = all.len;
}

void eventlog_add(struct eventlog *log, const char *name, const char *fmt, ...)
{
	char message[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	for (char *p = message; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	struct event event = { .wall_ms = clock_wall_ms(), .name = name, .message = message };
	auto_buf line = BUF_INIT;
	buf_fmt(&line, "%lld\t%s\t%s\n", (long long)event.wall_ms, name, message);
	if (log->fd >= 0) {
		if (log->size + line.len > EVENTLOG_MAX)
			shrink(log);
		struct err err = ERR_INIT;
		if (fs_write_all(log->fd, line.p, line.len, &err))
			log_warn("core", "'%s': %s", log->path, err.msg);
		else
			log->size += line.len;
	}
	for (struct eventlog_follow *f = log->followers, *next; f; f = next) {
		next = f->next;
		f->cb(f->arg, &event);
	}
}

static void parse_line(char *line, event_cb *cb, void *arg)
{
	char *end;
	long long ms = strtoll(line, &end, 10);
	char *name = *end == '\t' ? end + 1 : NULL;
	char *tab = name ? strchr(name, '\t') : NULL;
	if (!tab)
		return; /* torn by a crash */
	*tab = '\0';
	struct event event = { .wall_ms = ms, .name = name, .message = tab + 1 };
	cb(arg, &event);
}

void eventlog_read(struct eventlog *log, size_t tail, event_cb *cb, void *arg)
{
	auto_buf all = BUF_INIT;
	struct err err = ERR_INIT;
	if (fs_read(log->path, 4 * EVENTLOG_MAX, &all, &err))
		return;
	char *start = all.p + all.len;
	for (size_t lines = 0; start > all.p; start--) {
		if (start[-1] == '\n' && lines++ == tail)
			break;
	}
	for (char *line = start, *nl; (nl = strchr(line, '\n')); line = nl + 1) {
		*nl = '\0';
		parse_line(line, cb, arg);
	}
}

struct eventlog_follow *eventlog_follow(struct eventlog *log, event_cb *cb, void (*ended)(void *arg), void *arg)
{
	struct eventlog_follow *f = mem_zalloc(sizeof(*f));
	*f = (struct eventlog_follow){ .log = log, .next = log->followers, .cb = cb, .ended = ended, .arg = arg };
	log->followers = f;
	return f;
}

void eventlog_unfollow(struct eventlog_follow *follow)
{
	if (!follow)
		return;
	for (struct eventlog_follow **p = follow->log ? &follow->log->followers : NULL; p && *p; p = &(*p)->next) {
		if (*p == follow) {
			*p = follow->next;
			break;
		}
	}
	free(follow);
}
