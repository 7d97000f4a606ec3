/* sbxgen: OpenAPI documents to C tables, at build time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/gen/emit.h"

static const char usage[] = "usage: sbxgen [--strict] contract FILE.yaml OUTPREFIX\n"
			    "  writes OUTPREFIX.c and OUTPREFIX.h; the contract is named after FILE\n"
			    "  --strict  faults that are otherwise warnings stop the run\n";

/* "a/b/sbx.yaml" -> "sbx" */
static char *stem(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;
	const char *dot = strrchr(base, '.');

	return mem_strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static int write_pair(const struct model *m, const char *prefix, struct err *err)
{
	const char *slash = strrchr(prefix, '/');
	auto_free char *header_name = mem_printf("%s.h", slash ? slash + 1 : prefix);
	auto_free char *header_path = mem_printf("%s.h", prefix);
	auto_free char *source_path = mem_printf("%s.c", prefix);
	auto_buf header = BUF_INIT;
	auto_buf source = BUF_INIT;

	if (emit_header(m, &header, err) != 0)
		return -1;
	emit_source(m, header_name, &source);
	if (buf_failed(&header) || buf_failed(&source))
		return err_set(err, ERR_INTERNAL, "out of memory");
	if (fs_write_atomic(header_path, header.p, header.len, 0644, err) != 0)
		return -1;
	return fs_write_atomic(source_path, source.p, source.len, 0644, err);
}

static int contract(const char *file, const char *prefix, bool strict, struct err *err)
{
	struct yt_limits limits = YT_LIMITS_DEFAULT;
	auto_free char *name = stem(file);
	auto_buf text = BUF_INIT;

	if (fs_read(file, limits.bytes, &text, err) != 0)
		return -1;
	struct yt_doc *doc = yt_parse(text.p, text.len, file, limits, err);
	if (!doc)
		return -1;
	struct model *m = model_build(doc, name, strict, err);
	for (const char *w = m ? m->warnings.p : ""; *w; w = strchrnul(w, '\n') + 1)
		(void)fprintf(stderr, "%.*s (warning)\n", (int)(strchrnul(w, '\n') - w), w);
	int rc = m ? write_pair(m, prefix, err) : -1;
	model_free(m);
	yt_free(doc);
	return rc;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)fputs(usage, stdout);
		return 0;
	}
	bool strict = argc > 1 && strcmp(argv[1], "--strict") == 0;
	argv += strict;
	argc -= strict;
	if (argc != 4 || strcmp(argv[1], "contract") != 0) {
		(void)fputs(usage, stderr);
		return 2;
	}
	if (contract(argv[2], argv[3], strict, &err) != 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return 0;
}
