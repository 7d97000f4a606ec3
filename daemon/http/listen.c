#include "daemon/http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "shared/net/sock.h"
#include "shared/net/tcp.h"

#define BACKLOG 511
#define RETRY_MS 200

static void on_retry(uv_timer_t *timer)
{
	struct http_server *s = timer->data;
	s->paused = false;
	listeners_update(s);
}

/* No descriptor or memory for another connection: wait a little instead of being woken for the same one again and again. */
static void pause_accept(struct http_server *s, int why)
{
	log_warn("http", "cannot accept: %s; trying again in %d ms", uv_strerror(uv_translate_sys_error(why)), RETRY_MS);
	s->paused = true;
	listeners_update(s);
	uv_timer_start(&s->retry, on_retry, RETRY_MS, 0);
}

/* Is the process at the other end of a Unix socket ours (or root's)? */
static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	return peer.uid == geteuid() || peer.uid == 0;
}

/* Takes fd also when it fails. who: whose its requests are; NULL: they have to tell. */
static int add_connection(
	struct http_server *s, int fd, const struct sockaddr_storage *addr, socklen_t len, bool local, const struct identity *who)
{
	if (who) {
		s->arriving = mem_zalloc(sizeof(*s->arriving));
		*s->arriving = (struct http_origin){ local, *who };
	}
	int rc = MHD_add_connection(s->mhd, fd, (const struct sockaddr *)addr, len) == MHD_YES ? 0 : -1;
	int why = errno;
	free(s->arriving);
	s->arriving = NULL;
	errno = why;
	return rc;
}

static void take_connection(struct listener *l, int fd, const struct sockaddr_storage *addr, socklen_t len)
{
	if (l->local && !peer_allowed(fd)) {
		log_warn("http", "refused a connection of another user on '%s'", l->path);
		close(fd);
		return;
	}
	if (add_connection(l->s, fd, addr, len, l->local, l->local ? &http_operator : NULL) != 0)
		log_warn("http", "cannot take a connection: %s", uv_strerror(uv_translate_sys_error(errno)));
}

int http_adopt(struct http_server *s, int fd, const struct identity *who, struct err *err)
{
	if (s->closing || s->connections >= s->max_connections) {
		close(fd);
		return s->closing ? err_set(err, ERR_UNAVAILABLE, "the server is closing")
				  : err_set(err, ERR_LIMIT, "too many connections (%u)", s->max_connections);
	}
	struct sockaddr_storage addr = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	(void)getpeername(fd, (struct sockaddr *)&addr, &len); /* if it has gone already, MHD will see */
	if (add_connection(s, fd, &addr, len, false, who) != 0)
		return err_sys(err, errno, "cannot take a connection");
	listeners_update(s);
	server_kick(s);
	return 0;
}

static void on_listener(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	struct http_server *s = l->s;
	if (status < 0 || !(events & UV_READABLE))
		return;
	for (int i = 0; i < 16 && s->connections < s->max_connections; i++) {
		struct sockaddr_storage addr;
		socklen_t len = sizeof(addr);
		int fd = accept4(l->fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			take_connection(l, fd, &addr, len);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			pause_accept(s, errno);
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		break;
	}
	listeners_update(s);
	server_kick(s);
}

void listeners_update(struct http_server *s)
{
	bool want = !s->paused && !s->closing && s->connections < s->max_connections;
	for (struct listener *l = s->listeners; l; l = l->next) {
		if (want && !uv_is_active((uv_handle_t *)&l->poll))
			uv_poll_start(&l->poll, UV_READABLE, on_listener);
		else if (!want && uv_is_active((uv_handle_t *)&l->poll))
			uv_poll_stop(&l->poll);
	}
}

static void on_listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	struct http_server *s = l->s;
	close(l->fd);
	free(l->path);
	free(l);
	server_handle_closed(s);
}

void listeners_close(struct http_server *s)
{
	while (s->listeners) {
		struct listener *l = s->listeners;
		s->listeners = l->next;
		struct stat st;
		if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
			unlink(l->path);
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	}
}

/* Take fd (closed on failure) as a new listening socket. */
static struct listener *add_listener(struct http_server *s, int fd, struct err *err)
{
	struct listener *l = mem_zalloc(sizeof(*l));
	int rc = uv_poll_init(s->loop, &l->poll, fd);
	if (rc != 0) {
		err_set(err, ERR_INTERNAL, "cannot watch a listening socket: %s", uv_strerror(rc));
		close(fd);
		free(l);
		return NULL;
	}
	s->handles++;
	l->s = s;
	l->fd = fd;
	l->poll.data = l;
	l->next = s->listeners;
	s->listeners = l;
	listeners_update(s);
	return l;
}

/* ---- Unix ---- */

/* The name in sun_path goes through the folder's descriptor: $SBX_HOME may be longer than the 108 bytes there. */
/* Make room at path: nothing there is fine, a socket that nobody answers is removed, anything else is an error. */
static int clear_stale(const char *path, struct err *err)
{
	struct stat st;
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot look at '%s'", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, ERR_CONFLICT, "'%s' exists and is no socket", path);
	struct err why = ERR_INIT;
	auto_fd int fd = sock_connect(path, &why);
	/* EAGAIN: somebody listens, but has his queue full */
	if (fd >= 0 || why.sys == EAGAIN)
		return err_set(err, ERR_CONFLICT, "a daemon is already listening on '%s'", path);
	if (why.sys != ECONNREFUSED && why.sys != ENOENT)
		return err_sys(err, why.sys, "cannot find out who owns '%s'", path);
	if (unlink(path) != 0 && errno != ENOENT)
		return err_sys(err, errno, "cannot remove the stale socket '%s'", path);
	return 0;
}

/* Nobody can connect before listen(), so the mode is right from the start. */
static int bind_unix(int fd, const char *path, const struct sockaddr_un *addr, struct err *err)
{
	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
		return err_sys(err, errno == EADDRINUSE ? EEXIST : errno, "cannot bind '%s'", path);
	if (chmod(addr->sun_path, 0600) == 0 && listen(fd, BACKLOG) == 0)
		return 0;
	err_sys(err, errno, "cannot listen on '%s'", path);
	unlink(path);
	return -1;
}

static int new_socket(int family, struct err *err)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		err_sys(err, errno, "cannot make a socket");
	return fd;
}

int http_listen_unix(struct http_server *s, const char *path, struct err *err)
{
	struct sockaddr_un addr;
	auto_fd int dir = -1;
	if (sock_address(path, &addr, &dir, err) != 0 || clear_stale(path, err) != 0)
		return -1;
	int fd = new_socket(AF_UNIX, err);
	if (fd < 0)
		return -1;
	if (bind_unix(fd, path, &addr, err) != 0) {
		close(fd);
		return -1;
	}
	struct listener *l = add_listener(s, fd, err);
	if (!l) {
		unlink(path);
		return -1;
	}
	l->local = true;
	l->path = mem_strdup(path);
	struct stat st;
	if (lstat(path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	return 0;
}

/* ---- TCP ---- */

int http_listen_tcp(struct http_server *s, const char *address, int *port, struct err *err)
{
	int bound = 0;
	int fd = tcp_listen(address, TCP_LOOPBACK, &bound, err);
	if (fd < 0 || !add_listener(s, fd, err))
		return -1;
	if (port)
		*port = bound;
	return 0;
}
