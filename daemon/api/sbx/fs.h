/* What the files of the tag fs share: fs.c (labels), fs_tree.c (trees, merge), fs_object.c (objects). */
#ifndef SBX_API_SBX_FS_H
#define SBX_API_SBX_FS_H

#include "daemon/api/call.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/vault.h"

/* key and an id in hex; NULL writes null */
void fs_kid(struct jw *w, const char *key, const struct hash *id);
/* 409 in the shape LabelConflict; current NULL: there is no such label. */
void fs_reply_conflict(struct http_req *r, const struct err *err, const struct hash *current);
void fs_reply_rejected(struct http_req *r, const char *label, const struct hash *current);
/* One conflict of a merge, in the shape MergeConflict. */
void fs_write_conflict(struct jw *w, const struct conflict *f);
/* A stream of the vault as the answer, with backpressure: make it, then set its stream, begun with fs_send_ops and it as the
 * argument. length -1: not known. Owns itself. */
struct fs_send {
	struct http_req *req;
	struct vault_stream *stream;
	int status;
	int64_t length;
	bool begun;
};
extern const struct vault_stream_ops fs_send_ops;
struct fs_send *fs_send_new(struct http_req *r, int status, int64_t length);
/* The member "expected": false when it is null or not given. */
bool fs_expected(const js *body, struct hash *out);

#endif
