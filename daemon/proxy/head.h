/*
 * head: whom does an HTTP request mean? Reads the head of the first request of a connection, as far as it tells the sandbox and the
 * port: `Host: 3000-demo.localhost:7280`. Pure; the bytes are hostile.
 *
 * Only names of that form are served. So a web page of anybody that lets its own name point at 127.0.0.1 (DNS rebinding) reaches
 * nothing: its requests carry its name.
 */
#ifndef SBX_PROXY_HEAD_H
#define SBX_PROXY_HEAD_H

#include <stddef.h>
#include <stdint.h>

#define HEAD_MAX (16 * 1024)

struct head_target {
	uint16_t port;
	char sandbox[64]; /* id or name */
};

enum head_result {
	HEAD_OK,
	HEAD_MORE,    /* not all of it is there */
	HEAD_LARGE,   /* longer than HEAD_MAX */
	HEAD_BAD,     /* no HTTP/1 request, or not one Host */
	HEAD_FOREIGN, /* a Host that is not PORT-SANDBOX.suffix */
};

enum head_result head_parse(const char *p, size_t n, const char *suffix, struct head_target *out);

#endif
