#include "shared/store/vmstate.h"

#include "shared/store/tree.h"

#define INFO "vm.json"
#define STATE "state"
#define RAM "ram"
#define DISK "disk"
#define FS "fs"

void vmstate_free(struct vmstate *v)
{
	buf_free(&v->info);
	buf_free(&v->state);
	v->has_ram = v->has_disk = v->has_fs = false;
}

/* A file's content as an edit; *f holds what it points to. */
static int add_file(struct tree_file *f, const struct buf *b, struct entry *e, struct err *err)
{
	return tree_file_add(f, b->p, b->len, err) || tree_file_end(f, e, err) ? -1 : 0;
}

int vmstate_put(struct store *s, const struct vmstate *v, struct hash *out, struct err *err)
{
	struct tree_edit edits[5];
	struct entry info, state;
	size_t n = 0;
	if (v->info.len > VMSTATE_INFO_MAX || v->state.len > VMSTATE_STATE_MAX)
		return err_set(err, ERR_TOO_LARGE, "the state of a VM is too large: %zu and %zu bytes", v->info.len, v->state.len);
	edits[n++] = (struct tree_edit){ .path = INFO, .file = &info };
	if (v->state.len)
		edits[n++] = (struct tree_edit){ .path = STATE, .file = &state };
	if (v->has_ram)
		edits[n++] = (struct tree_edit){ .path = RAM, .dir = true, .tree = v->ram };
	if (v->has_disk)
		edits[n++] = (struct tree_edit){ .path = DISK, .dir = true, .tree = v->disk };
	if (v->has_fs)
		edits[n++] = (struct tree_edit){ .path = FS, .dir = true, .tree = v->fs };
	struct tree_file *a = tree_file_new(s, OBJECT_FILE_MODE), *b = tree_file_new(s, OBJECT_FILE_MODE);
	int rc = add_file(a, &v->info, &info, err) || add_file(b, &v->state, &state, err) ||
			tree_apply(s, &object_empty, edits, n, out, err)
		? -1
		: 0;
	tree_file_free(a);
	tree_file_free(b);
	return rc;
}

static int no_state(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "the tree is no state of a VM: %s", what);
}

static int open_file(struct store *s, const struct child *c, size_t max, struct buf *out, struct err *err)
{
	if (!c->has_file || c->has_dir || !entry_is_file(&c->file))
		return no_state(err, "a file of it is something else");
	return tree_read_all(s, &c->file, max, out, err);
}

static int open_image(const struct child *c, bool *has, struct hash *out, struct err *err)
{
	if (c->has_file || !c->has_dir)
		return no_state(err, "an image of it is no folder");
	*has = true;
	*out = c->dir;
	return 0;
}

static int open_child(struct store *s, const struct child *c, struct vmstate *out, struct err *err)
{
	static const char *const names[] = { INFO, STATE, RAM, DISK, FS };
	size_t i = 0;
	while (i < 5 && (strlen(names[i]) != c->name_len || memcmp(names[i], c->name, c->name_len) != 0))
		i++;
	switch (i) {
	case 0:
		return open_file(s, c, VMSTATE_INFO_MAX, &out->info, err);
	case 1:
		return open_file(s, c, VMSTATE_STATE_MAX, &out->state, err);
	case 2:
		return open_image(c, &out->has_ram, &out->ram, err);
	case 3:
		return open_image(c, &out->has_disk, &out->disk, err);
	case 4:
		return open_image(c, &out->has_fs, &out->fs, err);
	default:
		return no_state(err, "it has other files");
	}
}

int vmstate_open(struct store *s, const struct hash *id, struct vmstate *out, struct err *err)
{
	struct tree_node t;
	*out = (struct vmstate){ .info = BUF_INIT, .state = BUF_INIT };
	if (tree_load(s, id, &t, err))
		return -1;
	int rc = node_find(&t.node, INFO, strlen(INFO)) ? 0 : no_state(err, "it has no '" INFO "'");
	for (uint32_t i = 0; !rc && i < t.node.count; i++)
		rc = open_child(s, &t.node.children[i], out, err);
	tree_unload(&t);
	return rc;
}
