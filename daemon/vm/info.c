#include "daemon/vm/info.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/fs.h"
#include "shared/base/json.h"
#include "shared/base/mem.h"

#define JSON_MAX ((size_t)1 << 20)
#define MEMORY_MAX_MB (1 << 20)

void vm_info_free(struct vm_info *info)
{
	free(info->image);
	free(info->qemu);
	free(info->name);
	free(info->parent);
	free(info->fs_tree);
	free(info->fs_path);
	free(info->fs_label);
	for (char **e = info->env; e && *e; e++)
		free(*e);
	free(info->env);
	*info = (struct vm_info){ 0 };
}

static char *copy(const js *v)
{
	const char *text = js_str(v, NULL);
	return text ? mem_strdup(text) : NULL;
}

static char **copy_list(const js *v)
{
	char **list = mem_array(js_count(v) + 1, sizeof(*list));
	size_t n = 0;
	js_each (it, v)
		if (js_str(it, NULL))
			list[n++] = mem_strdup(js_str(it, ""));
	return list;
}

int vm_info_read(const char *text, size_t n, struct vm_info *out, struct err *err)
{
	*out = (struct vm_info){ 0 };
	auto_js *v = js_parse(text, n, JS_LIMITS_DEFAULT, err);
	if (!v)
		return -1;
	if (js_int(js_get(v, "vcpus"), &out->vcpus) || js_int(js_get(v, "memoryMb"), &out->memory_mb) ||
		js_int(js_get(v, "machine"), &out->machine) || out->vcpus < 1 || out->vcpus > 255 || out->memory_mb < 1 ||
		out->memory_mb > MEMORY_MAX_MB)
		return err_set(err, ERR_INVALID, "this is no description of a machine");
	js_int(js_get(v, "tscKhz"), &out->tsc_khz);
	js_int(js_get(v, "createdWallMs"), &out->created_ms);
	out->image = mem_strdup(js_str(js_get(v, "imageName"), ""));
	out->qemu = mem_strdup(js_str(js_get(v, "qemuVersion"), ""));
	out->accel = strcmp(js_str(js_get(v, "accel"), ""), accel_name(VM_ACCEL_KVM)) ? VM_ACCEL_TCG : VM_ACCEL_KVM;
	out->name = copy(js_get(v, "name"));
	out->parent = copy(js_get(v, "parent"));
	out->env = copy_list(js_get(v, "env"));
	if (js_int(js_get(v, "storedBytes"), &out->stored) || out->stored < 0)
		out->stored = 0;
	const js *fs = js_get(v, "fs");
	out->fs_tree = copy(js_get(fs, "tree"));
	out->fs_path = copy(js_get(fs, "path"));
	out->fs_label = copy(js_get(fs, "label"));
	return 0;
}

int vm_info_load(const char *path, struct vm_info *out, struct err *err)
{
	auto_buf text = BUF_INIT;

	*out = (struct vm_info){ 0 };
	if (fs_read(path, JSON_MAX, &text, err))
		return -1;
	return vm_info_read(text.p, text.len, out, err) ? err_prefix(err, "'%s'", path) : 0;
}

void vm_info_write(const struct vm_info *info, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "imageName", info->image);
	jw_kint(&w, "machine", info->machine);
	jw_kstr(&w, "qemuVersion", info->qemu);
	jw_kstr(&w, "accel", accel_name(info->accel));
	jw_kint(&w, "vcpus", info->vcpus);
	jw_kint(&w, "memoryMb", info->memory_mb);
	jw_kint(&w, "tscKhz", info->tsc_khz);
	jw_kint(&w, "createdWallMs", info->created_ms);
	jw_kstr(&w, "name", info->name);
	jw_kstr(&w, "parent", info->parent);
	jw_key(&w, "env");
	jw_arr(&w);
	for (char *const *e = info->env; e && *e; e++)
		jw_str(&w, *e);
	jw_arr_end(&w);
	if (info->stored)
		jw_kint(&w, "storedBytes", info->stored);
	if (info->fs_tree) {
		jw_key(&w, "fs");
		jw_obj(&w);
		jw_kstr(&w, "tree", info->fs_tree);
		jw_kstr(&w, "path", info->fs_path);
		jw_kstr(&w, "label", info->fs_label);
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
	buf_ch(out, '\n');
}
