#include "daemon/image/input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/base/fs.h"
#include "shared/base/mem.h"

int input_stat(struct input *in, struct err *err)
{
	struct stat st;

	if (stat(in->path, &st))
		return err_sys(err, errno, "cannot read '%s'", in->path);
	snprintf(in->id, sizeof(in->id), "%lld:%lld.%09ld:%llu", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		st.st_mtim.tv_nsec, (unsigned long long)st.st_ino);
	return 0;
}

int input_agent(struct input *in, struct err *err)
{
	const char *set = getenv("SBX_AGENT"); /* NOLINT(concurrency-mt-unsafe): nobody changes the environment */

	*in = (struct input){ 0 };
	if (set && *set) {
		in->path = mem_strdup(set);
	} else {
		auto_free char *dir = fs_exe_dir(err);
		if (!dir)
			return -1;
		in->path = fs_join(dir, "sbx-agent");
	}
	if (!input_stat(in, err))
		return 0;
	return err_hint(err, "the guest agent is built with sbxd: run 'make', or name it in SBX_AGENT");
}

int input_hash(struct input *in, struct err *err)
{
	return in->sha[0] ? 0 : hash_file(in->path, in->sha, err);
}

bool input_same(struct input *in, const js *recorded)
{
	if (!strcmp(in->id, js_str(js_get(recorded, "id"), "")))
		return true;
	return !input_hash(in, NULL) && !strcmp(in->sha, js_str(js_get(recorded, "sha256"), ""));
}

void input_write(struct jw *w, const char *name, const struct input *in)
{
	jw_key(w, name);
	jw_obj(w);
	jw_kstr(w, "path", in->path);
	jw_kstr(w, "id", in->id);
	jw_kstr(w, "sha256", in->sha);
	jw_obj_end(w);
}

void input_free(struct input *in)
{
	free(in->path);
	*in = (struct input){ 0 };
}
