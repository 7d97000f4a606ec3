/*
 * work_internal: what push, status and checkout share. Private to work_*.c.
 *
 * A folder on disk is a tree of struct dir, kept from its scan until the stat index is saved. A dir is worked on by one thread at a
 * time: scanned, then its subfolders and large files by whoever is free, then, by the thread that ended the last of these, made
 * into a node (push, status) or closed (checkout).
 */
#ifndef SBX_STORE_WORK_INTERNAL_H
#define SBX_STORE_WORK_INTERNAL_H

#include <sys/stat.h>

#include "shared/store/work_pool.h"

/* What tells that a file is as it was. */
struct stamp {
	uint64_t dev, ino, size;
	int64_t mtime, ctime;
	uint32_t mtime_ns, ctime_ns;
	uint32_t mode;	/* with type bits */
	uint32_t known; /* 1: the content of the tree's entry is this file's, as long as all of the above stays */
};
void stamp_of(const struct stat *st, struct stamp *out);
/* Equal but for known. */
bool stamp_eq(const struct stamp *a, const struct stamp *b);
/* May this file have been changed after now without another stamp? now is work_now from before it was read. */
bool stamp_racy(const struct stamp *s, const struct timespec *now);
/* The clock that file systems stamp with. */
struct timespec work_now(void);

/* ---- the stat index ---- */
struct index_item {
	struct stamp stamp;
	uint32_t name, dir; /* offset of the name; number of the folder, 0 = none */
	uint16_t name_len, pad;
	uint32_t pad2;
};
struct index_dir {
	struct hash id;
	uint32_t first, count; /* items, in byte order of their names */
};
struct index;
/* NULL when there is none that can be trusted: damaged, of another format, or the store lost what it names. */
struct index *index_load(struct store *s, const char *folder);
void index_free(struct index *ix);
const struct hash *index_tree(const struct index *ix);
const struct index_dir *index_dir(const struct index *ix, uint32_t n); /* 0 is the top */
const struct index_item *index_items(const struct index *ix, const struct index_dir *d);
const char *index_name(const struct index *ix, const struct index_item *it);
struct dir;
/* Keep what is known of a folder whose tree is top->id. */
int index_save(struct store *s, const char *folder, struct dir *top, struct err *err);
/* There is nothing to be known of it. */
void index_forget(struct store *s, const char *folder);
/* Checks of a file's bytes: NULL, or an index that points into them. For index_load and the fuzz target. */
struct index *index_parse(const void *data, size_t n);

/* ---- folders on disk ---- */
/* GONE: left out of the tree. WRITE: checkout makes it. LEFT: in the tree, but rules keep us off it on disk. */
enum { ITEM_GONE = 1, ITEM_WRITE = 2, ITEM_LEFT = 4 };

struct item {
	const char *name; /* terminated, owned by the dir */
	uint16_t len;
	uint8_t flags;
	struct stamp stamp;	      /* as scanned; read: as it was when it was read */
	const struct index_item *old; /* what the index knows of this name */
	struct dir *dir;	      /* a subfolder */
	struct big *big;	      /* a large file that had to be read */
};

struct dir {
	struct pool_job job; /* first */
	struct work *work;
	struct dir *parent, *all; /* all: every dir of a scan, for freeing */
	uint32_t in_parent;	  /* number of its item there */
	uint32_t count;
	struct item *items; /* in byte order */
	char *names;
	int fd;			     /* -1: closed */
	uint32_t mode;		     /* with type bits */
	atomic_uint pending;	     /* subfolders and large files that are not done, and 1 for the scan */
	const struct index_dir *old; /* NULL: the index does not know it */
	bool rules;		     /* it has a .sbxignore */
	uint32_t number;	     /* in the index that is saved */
	struct hash id;
	/* checkout: what is to be; id is then the wanted one's */
	struct item *next; /* instead of items */
	char *next_names;
	uint32_t next_count;
	bool moved;		/* in_parent counts in the parent's next */
	bool fresh;		/* to be made */
	bool touched;		/* there, and something in it is to be written */
	bool set_mode;		/* to want_mode, at the end */
	uint32_t want_mode;	/* permission bits */
	struct tree_node *node; /* while it is written */
};

/* A large file that is cut. */
struct big {
	struct pool_job job;
	struct dir *dir;
	uint32_t item, tries;
	int fd;
	uint64_t at, data_at; /* the reader: offset of the next chunk; where the next data is, as far as is known */
	bool sparse;
	struct timespec read_at;
	struct hash *ids;
	size_t ids_n, ids_max;
	atomic_uint pending; /* chunks that others hash, and 1 for the reader */
};

/* A buffer that chunks are cut from, shared by whoever hashes them. */
#define WINDOW_SIZE (2 * CHUNK_MAX)
struct work_window {
	atomic_uint refs;
	size_t at, len; /* the reader's */
	uint8_t data[];
};
void work_window_drop(struct work_window *w);

/* Nodes that are not in the store. */
struct kept {
	struct hash id;
	struct buf bytes;
};

/* What names of files that are being written begin with. They are no part of a folder. */
#define WORK_TEMP ".sbx-tmp-"

struct work {
	struct store *store;
	const struct work_options *o;
	const char *folder;
	struct pool pool;
	struct index *index;
	struct dir *top, *all;
	bool put;	  /* write objects */
	char temp_id[13]; /* for names of files that are being written */
	atomic_ulong temp_n;
	bool writing; /* the second half of a checkout */
	bool sweep;   /* remove what a killed checkout left under temporary names */
	bool keep;    /* hold nodes that the store lacks in memory */
	struct kept *kept;
	size_t kept_n;
	atomic_bool distrust; /* the store lacks what the index says is there */
	atomic_bool changed;  /* the index has to be written again */
	atomic_uint open;     /* folders held open */
	unsigned open_max;
	uint64_t store_dev, store_ino;
	struct timespec start;

	pthread_rwlock_t rules_lock;
	struct ignore *rules;
	atomic_bool has_rules;

	pthread_mutex_t lock; /* all, kept, zero */
	size_t zero_len;      /* of the first chunk of zeros; 0: not made */
	struct hash zero_id;
};

int work_init(struct work *w, struct store *s, const char *folder, const struct work_options *o, struct err *err);
void work_free(struct work *w);
struct dir *dir_new(struct work *w, struct dir *parent, uint32_t in_parent);
/* Path below the top, "" for it; allocated. name may be NULL. */
char *dir_path(const struct dir *d, const char *name);
/* The same for people: the folder as it was given in front. */
char *dir_show(const struct dir *d, const char *name);
/* A descriptor of the folder: d->fd, or (then *own) one that the caller closes. Never through a symlink. -1 with errno. */
int dir_open(struct dir *d, bool *own);
void dir_keep_open(struct dir *d, int fd);
void dir_close(struct dir *d);
/* Close it when many are open; it is opened again when it is needed. */
void dir_close_if_many(struct dir *d);
/* Item by name, NULL. */
struct item *dir_find(const struct dir *d, const char *name, size_t len);
struct item *items_find(struct item *items, uint32_t count, const char *name, size_t len);
/* Items and names for the children of a node. */
void dir_set_next(struct dir *d, const struct node *node);
bool work_ignored(struct work *w, const char *path, bool is_dir);
int work_add_rules(struct dir *d, int fd, struct err *err);
void work_drop_rules(struct dir *d);

/* Scan the folder: afterwards top has its id. -1 with err. */
int work_scan(struct work *w, struct err *err);
/* work_init and work_scan without writing: nodes that the store lacks are kept. A stat index that only got older is saved again.
 * sweep: what a killed checkout left goes. work_free in any case. */
int work_scan_apart(struct work *w, struct store *s, const char *folder, const struct work_options *o, bool sweep, struct err *err);
/* One thing of d is done: when it was the last, make its node, and so on upwards. */
void scan_done(struct worker *wk, struct dir *d);
/* Read the files of d, make its node. */
int read_folder(struct worker *wk, struct dir *d, struct err *err);
void read_big_job(struct worker *wk, struct pool_job *job);
/* "FOLDER/PATH" cannot be VERBed. */
int work_sys(struct err *err, int sys, const struct dir *d, const char *name, const char *verb);
/* "'PATH' changes while it is read". */
int work_busy(struct err *err, const struct dir *d, const char *name);
/* The chunk that a long run of zeros is cut into. */
int work_zero_chunk(struct work *w, struct err *err);

/* ---- comparing trees of which some are not in the store ---- */
enum { SIDE_TREE, SIDE_DISK, SIDE_BASE, SIDES };
struct compare {
	struct work *work;
	bool has[SIDES];
	struct hash id[SIDES];
	/* A name at which tree and disk differ, in byte order; child[side] is NULL where the side has nothing. Returns 0, TREE_SKIP
	 * to stay out of its folders, or -1. path is terminated. */
	int (*each)(void *arg, const char *path, const struct child *const child[SIDES], struct err *err);
	/* A folder that both or one has begins (nodes: NULL where a side lacks it) and ends. May be NULL. */
	int (*enter)(void *arg, const char *path, const struct node *const node[SIDES], struct err *err);
	int (*leave)(void *arg, const char *path, struct err *err);
	bool all_names; /* each is also called for names at which they are equal, never entering their folders */
	void *arg;
};
int work_compare(const struct compare *c, struct err *err);

/* The mode of a folder that a child stands for. */
uint32_t work_dir_mode(const struct child *c);
/* The file part that is a file, symlink or special: not a folder's mode. NULL. */
const struct entry *work_file(const struct child *c);

#endif
