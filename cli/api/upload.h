/*
 * upload: bodies that are files: one file as it is, or a multipart form (RFC 7578) with the members of the contract in its order.
 * Nothing is read before it is sent, so that size does not matter.
 */
#ifndef SBX_CLI_API_UPLOAD_H
#define SBX_CLI_API_UPLOAD_H

#include "cli/api/flags.h"
#include "cli/endpoint/client.h"

struct upload_part {
	struct buf head; /* what comes before the bytes of the file */
	int fd;		 /* -1 = no file */
};

struct upload {
	struct upload_part *parts;
	size_t count;
	char *media;
};

/* Open what the flags name and fill in the request. A zeroed upload before; upload_free after, also after a failure. */
int upload_file(struct upload *u, const struct api_flags *f, struct request *rq, struct err *err);
int upload_form(struct upload *u, const struct api_flags *f, struct request *rq, struct err *err);
/* After client_request. Stops early when the server has answered. */
int upload_send(struct upload *u, struct client *c, struct err *err);
void upload_free(struct upload *u);

#endif
