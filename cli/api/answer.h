/*
 * answer: what came back, printed: JSON as a table, a block, JSON or YAML; streams as they come; bytes as they are.
 */
#ifndef SBX_CLI_API_ANSWER_H
#define SBX_CLI_API_ANSWER_H

#include "cli/cli.h"
#include "shared/contract/contract.h"

/* A JSON document. status chooses the schema that says the columns. */
void answer_print(struct cli *cli, const struct contract *c, const struct ct_op *op, int status, const js *doc);

/* Lines of a stream that is not over: each JSON object or event goes out when it is whole. */
struct answer_stream {
	struct cli *cli;
	bool sse;
	struct buf text;  /* not yet a whole line */
	struct buf event; /* name of the event that is coming in */
	struct buf data;
};
void answer_stream_init(struct answer_stream *s, struct cli *cli, bool sse);
int answer_stream_add(struct answer_stream *s, const char *data, size_t n, struct err *err);
/* What came after the last line end. */
int answer_stream_end(struct answer_stream *s, struct err *err);
void answer_stream_free(struct answer_stream *s);

#endif
