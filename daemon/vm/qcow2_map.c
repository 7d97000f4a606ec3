/* qcow2_map: reading. Of each layer one L2 table is at hand, and the run that was last looked at. */
#include "daemon/vm/qcow2_map.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/vm/qcow2_internal.h"
#include "shared/base/mem.h"

_Static_assert(QCOW2_CLUSTER == CLUSTER, "one size of clusters");

enum { LAYER_SHIFT = 56 }; /* a place is an offset in a file, below its layer's number */

enum kind { NONE, ZERO, DATA };
struct run {
	uint64_t first, count;
	enum kind kind;
	uint64_t host;
};

struct layer {
	int fd;
	bool own;
	char *name;
	uint64_t size, file_size; /* bytes: of the disk, of the file */
	uint64_t clusters;
	uint64_t *l1;
	uint32_t l1_n; /* those that the size needs */
	uint64_t *l2;
	uint64_t l2_of; /* the table at hand: number in L1, plus 1 */
	struct run last;
};

struct qcow2_map {
	size_t n;
	struct layer layers[];
};

static uint64_t be(const uint8_t *p, size_t n)
{
	uint64_t v = 0;
	while (n--)
		v = v << 8 | *p++;
	return v;
}

static int damaged(const struct layer *l, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "the disk '%s' is damaged: %s", l->name, what);
}

static int refused(const struct layer *l, const char *what, struct err *err)
{
	return err_set(err, ERR_NOT_IMPLEMENTED, "the disk '%s' has %s, which cannot be read here", l->name, what);
}

/* Zeros behind the end of the file. */
static int read_full(const struct layer *l, void *data, size_t n, uint64_t at, struct err *err)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(l->fd, (char *)data + done, n - done, (off_t)(at + done));
		if (r < 0 && errno != EINTR)
			return err_sys(err, errno, "cannot read '%s'", l->name);
		if (r == 0) {
			memset((char *)data + done, 0, n - done);
			break;
		}
		done += r < 0 ? 0 : (size_t)r;
	}
	return 0;
}

/* ---- opening ---- */

static int read_header(struct layer *l, uint64_t *l1_at, struct err *err)
{
	uint8_t h[HEADER_LENGTH];
	if (l->file_size < sizeof(h))
		return err_set(err, ERR_INVALID, "'%s' is not a qcow2 file", l->name);
	if (read_full(l, h, sizeof(h), 0, err))
		return -1;
	if (be(h, 4) != QCOW2_MAGIC)
		return err_set(err, ERR_INVALID, "'%s' is not a qcow2 file", l->name);
	if (be(h + 4, 4) != 3)
		return refused(l, "another version of the format than 3", err);
	if (be(h + 20, 4) != CLUSTER_BITS)
		return refused(l, "clusters of another size than 64 KiB", err);
	if (be(h + 32, 4) != 0)
		return refused(l, "encryption", err);
	if (be(h + 60, 4) != 0)
		return refused(l, "internal snapshots", err);
	if (be(h + 72, 8) != 0)
		return refused(l, "features (external data, compression, extended tables) or marks of damage", err);
	l->size = be(h + 24, 8);
	if (l->size == 0 || l->size % 512 || l->size > QCOW2_SIZE_MAX || be(h + 100, 4) < HEADER_LENGTH)
		return damaged(l, "its size cannot be", err);
	l->clusters = (l->size + CLUSTER - 1) / CLUSTER;
	l->l1_n = (uint32_t)((l->clusters + L2_ENTRIES - 1) / L2_ENTRIES);
	*l1_at = be(h + 40, 8);
	if (be(h + 36, 4) < l->l1_n)
		return damaged(l, "its L1 table is too small", err);
	if (*l1_at % CLUSTER || *l1_at == 0 || *l1_at > l->file_size || l->l1_n * sizeof(uint64_t) > l->file_size - *l1_at)
		return damaged(l, "its L1 table is not in the file", err);
	return 0;
}

static int read_l1(struct layer *l, uint64_t at, struct err *err)
{
	l->l1 = mem_array(l->l1_n, sizeof(*l->l1));
	if (read_full(l, l->l1, l->l1_n * sizeof(*l->l1), at, err))
		return -1;
	for (uint32_t i = 0; i < l->l1_n; i++) {
		uint64_t e = be64toh(l->l1[i]), offset = e & ENTRY_OFFSET;
		if ((e & ~(ENTRY_COPIED | ENTRY_OFFSET)) || offset % CLUSTER || (e && !offset))
			return damaged(l, "an entry of its L1 table cannot be", err);
		if (offset && (l->file_size < CLUSTER || offset > l->file_size - CLUSTER))
			return damaged(l, "an L2 table is not in the file", err);
		l->l1[i] = offset;
	}
	return 0;
}

static int decode(const struct layer *l, uint64_t e, enum kind *kind, uint64_t *host, struct err *err)
{
	*host = e & ENTRY_OFFSET;
	*kind = NONE;
	if (e == 0)
		return 0;
	if (e & ENTRY_COMPRESSED)
		return refused(l, "compressed clusters", err);
	if ((e & ~(ENTRY_COPIED | ENTRY_OFFSET | ENTRY_ZERO)) || *host % CLUSTER || (!*host && !(e & ENTRY_ZERO)))
		return damaged(l, "an entry of an L2 table cannot be", err);
	if (*host >= l->file_size && *host)
		return damaged(l, "a cluster is not in the file", err);
	*kind = e & ENTRY_ZERO ? ZERO : DATA;
	return 0;
}

/* The L2 table of a number, in the order of this machine; NULL with err. l1[i] is not 0. */
static const uint64_t *load_l2(struct layer *l, uint64_t i, struct err *err)
{
	if (!l->l2)
		l->l2 = mem_array(L2_ENTRIES, sizeof(*l->l2));
	if (l->l2_of == i + 1)
		return l->l2;
	l->l2_of = 0;
	if (read_full(l, l->l2, CLUSTER, l->l1[i], err))
		return NULL;
	for (size_t k = 0; k < L2_ENTRIES; k++)
		l->l2[k] = be64toh(l->l2[k]);
	l->l2_of = i + 1;
	return l->l2;
}

/* The run from a cluster on: as many as are alike and lie together, within one table. */
static int look_up(struct layer *l, uint64_t cluster, struct run *out, struct err *err)
{
	*out = (struct run){ .first = cluster, .count = UINT64_MAX - cluster, .kind = NONE };
	if (cluster >= l->clusters)
		return 0;
	uint64_t i = cluster / L2_ENTRIES, at = cluster % L2_ENTRIES;
	uint64_t end = l->clusters - i * L2_ENTRIES < L2_ENTRIES ? l->clusters - i * L2_ENTRIES : L2_ENTRIES;
	out->count = end - at;
	if (!l->l1[i])
		return 0;
	const uint64_t *l2 = load_l2(l, i, err);
	if (!l2 || decode(l, l2[at], &out->kind, &out->host, err))
		return -1;
	for (out->count = 1; at + out->count < end; out->count++) {
		enum kind kind;
		uint64_t host;
		if (decode(l, l2[at + out->count], &kind, &host, err))
			return -1;
		if (kind != out->kind || (kind == DATA && host != out->host + out->count * CLUSTER))
			break;
	}
	return 0;
}

/* All tables once: every entry can be, and there are no more clusters than the file has. */
static int check_layer(struct layer *l, struct err *err)
{
	uint64_t used = 0, most = (l->file_size + CLUSTER - 1) / CLUSTER;
	for (uint32_t i = 0; i < l->l1_n; i++)
		used += l->l1[i] != 0;
	struct run r;
	for (uint64_t at = 0; at < l->clusters && used <= most; at = r.first + r.count) {
		if (look_up(l, at, &r, err))
			return -1;
		used += r.kind == DATA ? r.count : 0;
	}
	return used > most ? damaged(l, "it has more clusters than its file can hold", err) : 0;
}

static int open_layer(struct layer *l, struct err *err)
{
	struct stat st;
	uint64_t l1_at = 0;
	if (fstat(l->fd, &st))
		return err_sys(err, errno, "cannot look at '%s'", l->name);
	l->file_size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return read_header(l, &l1_at, err) || read_l1(l, l1_at, err) || check_layer(l, err) ? -1 : 0;
}

/* A layer that is smaller than the one above ends there: the rest of its last cluster must not show. */
static int check_sizes(const struct qcow2_map *m, struct err *err)
{
	for (size_t i = 1; i < m->n; i++) {
		const struct layer *above = &m->layers[i - 1], *l = &m->layers[i];
		if (l->size > above->size || (l->size < above->size && l->size % CLUSTER))
			return err_set(err, ERR_INVALID, "the disk '%s' of %llu bytes cannot be below '%s' of %llu", l->name,
				(unsigned long long)l->size, above->name, (unsigned long long)above->size);
	}
	return 0;
}

static struct qcow2_map *map_alloc(size_t n, struct err *err)
{
	if (n == 0 || n > QCOW2_LAYERS_MAX) {
		err_set(err, ERR_LIMIT, "a disk of %zu layers cannot be read (1 to %u)", n, QCOW2_LAYERS_MAX);
		return NULL;
	}
	struct qcow2_map *m = mem_zalloc(sizeof(*m) + n * sizeof(*m->layers));
	m->n = n;
	for (size_t i = 0; i < n; i++)
		m->layers[i].fd = -1;
	return m;
}

static struct qcow2_map *map_check(struct qcow2_map *m, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; !rc && i < m->n; i++)
		rc = open_layer(&m->layers[i], err);
	if (!rc && !check_sizes(m, err))
		return m;
	qcow2_map_free(m);
	return NULL;
}

struct qcow2_map *qcow2_map_new(const struct qcow2_layer *layers, size_t n, struct err *err)
{
	struct qcow2_map *m = map_alloc(n, err);
	for (size_t i = 0; m && i < n; i++) {
		m->layers[i].fd = layers[i].fd;
		m->layers[i].name = mem_strdup(layers[i].name);
	}
	return m ? map_check(m, err) : NULL;
}

struct qcow2_map *qcow2_map_open(const char *const *paths, size_t n, struct err *err)
{
	struct qcow2_map *m = map_alloc(n, err);
	for (size_t i = 0; m && i < n; i++) {
		struct layer *l = &m->layers[i];
		l->own = true;
		l->name = mem_strdup(paths[i]);
		l->fd = open(paths[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (l->fd >= 0)
			continue;
		err_sys(err, errno, "cannot open '%s'", paths[i]);
		qcow2_map_free(m);
		return NULL;
	}
	return m ? map_check(m, err) : NULL;
}

void qcow2_map_free(struct qcow2_map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		struct layer *l = &m->layers[i];
		if (l->own && l->fd >= 0)
			close(l->fd);
		free(l->name);
		free(l->l1);
		free(l->l2);
	}
	free(m);
}

uint64_t qcow2_map_size(const struct qcow2_map *m)
{
	return m->layers[0].size;
}

/* ---- the chain ---- */

/* What a layer says of a cluster, and of how many more. */
static int layer_run(struct layer *l, uint64_t cluster, struct run *out, struct err *err)
{
	struct run *r = &l->last;
	if ((cluster < r->first || cluster - r->first >= r->count) && look_up(l, cluster, r, err)) {
		r->count = 0;
		return -1;
	}
	uint64_t skip = cluster - r->first;
	*out = (struct run){ cluster, r->count - skip, r->kind, r->host + (r->kind == DATA ? skip * CLUSTER : 0) };
	return 0;
}

/* The top-most layer that knows a cluster, for as many clusters as that goes for. */
static int chain_run(struct qcow2_map *m, uint64_t cluster, struct run *out, size_t *layer, struct err *err)
{
	uint64_t most = m->layers[0].clusters - cluster;
	for (size_t i = 0; i < m->n; i++) {
		if (layer_run(&m->layers[i], cluster, out, err))
			return -1;
		most = out->count < most ? out->count : most;
		*layer = i;
		if (out->kind != NONE)
			break;
	}
	out->count = most;
	return 0;
}

int qcow2_map_next(struct qcow2_map *m, uint64_t from, struct qcow2_run *out, struct err *err)
{
	struct run r = { .count = 0 };
	for (uint64_t at = from; at < m->layers[0].clusters; at = r.first + r.count) {
		size_t layer = 0;
		if (chain_run(m, at, &r, &layer, err))
			return -1;
		if (r.kind == NONE)
			continue;
		*out = (struct qcow2_run){ .first = r.first, .count = r.count, .zero = r.kind == ZERO };
		out->place = out->zero ? 0 : (uint64_t)layer << LAYER_SHIFT | r.host;
		return 1;
	}
	return 0;
}

int qcow2_map_read(const struct qcow2_map *m, uint64_t place, void *data, size_t n, struct err *err)
{
	size_t layer = place >> LAYER_SHIFT;
	if (layer >= m->n)
		return err_set(err, ERR_INVALID, "there is no layer %zu in the disk", layer);
	return read_full(&m->layers[layer], data, n, place & (((uint64_t)1 << LAYER_SHIFT) - 1), err);
}

void qcow2_map_place(const struct qcow2_map *m, uint64_t place, int *fd, uint64_t *offset)
{
	*fd = m->layers[place >> LAYER_SHIFT].fd;
	*offset = place & (((uint64_t)1 << LAYER_SHIFT) - 1);
}

/* ---- as blocks ---- */

static int news_next(void *arg, struct blocks_run *run, struct err *err)
{
	struct qcow2_news *n = arg;
	struct qcow2_run r;
	int rc = qcow2_map_next(n->m, n->from, &r, err);
	if (rc <= 0)
		return rc;
	uint64_t per_cluster = CLUSTER / n->block, blocks = (qcow2_map_size(n->m) + n->block - 1) / n->block;
	n->from = r.first + r.count;
	*run = (struct blocks_run){
		.first = r.first * per_cluster, .count = r.count * per_cluster, .zero = r.zero, .place = r.place
	};
	/* the last cluster may be cut */
	if (run->count > blocks - run->first)
		run->count = blocks - run->first;
	return 1;
}

static int news_read(void *arg, uint64_t place, void *data, size_t n, struct err *err)
{
	const struct qcow2_news *news = arg;
	return qcow2_map_read(news->m, place, data, n, err);
}

struct blocks_source qcow2_news_source(struct qcow2_news *news)
{
	return (struct blocks_source){ .next = news_next, .read = news_read, .arg = news };
}
