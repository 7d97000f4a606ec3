/*
 * remote: moving what one store has and another wants, as a stream of records that is checked object by object; independent of how
 * it travels (HTTP in cli/ and daemon/). reference/DESIGN.md "The store".
 *
 * The sender walks from the wanted trees and stays out of what the receiver has: it asks in rounds (remote_ask: "which of these ids
 * do you have?"), whole subtrees at a time. The stream: "SBXPACK1", then records {kind u8, plain length u32 LE, stored length u32
 * LE, flags u8, hash 32 bytes, bytes}, then an end record (kind 0, hash of all hashes in order). Flag 1: the bytes are one zstd
 * frame, shorter than the plain ones. What a folder leads to comes before it, so that a receiver never has a folder without what is
 * in it. Resumable: whatever arrived whole is kept, so the next round asks for less.
 */
#ifndef SBX_STORE_REMOTE_H
#define SBX_STORE_REMOTE_H

#include "shared/store/tree.h"

/* Does the other side have these? have[i] is set. 0 or -1. */
typedef int remote_ask_fn(void *arg, const struct hash *ids, size_t n, bool *have, struct err *err);
typedef int remote_write_fn(void *arg, const void *data, size_t n, struct err *err);

/* So many ids are asked for at a time, at most. */
#define REMOTE_ASK_MAX 4096u

struct remote_counts {
	uint64_t objects, bytes /* of the stream */;
};
/* The other side. ask NULL: it has nothing. */
struct remote_peer {
	remote_ask_fn *ask;
	remote_write_fn *write;
	void *arg;
};
/* Write what `roots` lead to and the other side has not. All questions are asked before the first byte is written. NOT_FOUND when
 * something is missing here, IO when it is damaged. */
int remote_send(struct store *s, const struct hash *roots, size_t n, const struct remote_peer *to, struct remote_counts *out,
	struct err *err);
/* The objects themselves and nothing that they lead to, in the order given, each as if it had been asked for. */
int remote_send_objects(struct store *s, const struct hash *ids, size_t n, const struct remote_peer *to, struct remote_counts *out,
	struct err *err);

/* What a store answers to remote_ask: a tree counts as there only with all that it leads to. Remembers what it has seen, for as
 * long as gc is held off. */
struct remote_haver;
struct remote_haver *remote_haver_new(struct store *s);
int remote_have(struct remote_haver *h, const struct hash *ids, size_t n, bool *have, struct err *err);
void remote_haver_free(struct remote_haver *h);

/* Feed a stream in pieces; objects are checked by hash (nodes also by node_decode) and put into a write that the receiver begins
 * and ends itself (checkpoints every 64 MiB); it begins with the first object. PROTOCOL or INVALID for a bad stream; what was whole
 * before stays. The caller holds gc off. */
struct remote_receiver;
struct remote_receiver *remote_receiver_new(struct store *s, struct err *err);
int remote_receiver_add(struct remote_receiver *r, const void *data, size_t n, struct err *err);
/* Make durable what came whole and let go of the writer lock until the next add: the sender may be slow, and others want to write.
 */
int remote_receiver_pause(struct remote_receiver *r, struct err *err);
/* The stream is over: PROTOCOL when it was cut. Then all objects are durable. */
int remote_receiver_end(struct remote_receiver *r, struct remote_counts *out, struct err *err);
/* What came whole is made durable even when remote_receiver_end was not called. */
void remote_receiver_free(struct remote_receiver *r);
/* The stream has ended properly; bytes so far. */
bool remote_receiver_done(const struct remote_receiver *r);
void remote_receiver_counts(const struct remote_receiver *r, struct remote_counts *out);

#endif
