#include "daemon/build_main.h"

#include <signal.h>
#include <sys/prctl.h>

#include "daemon/image/resolve.h"
#include "daemon/say.h"
#include "daemon/vm/template.h"

int build_main(const struct daemon_args *args)
{
	struct err err = ERR_INIT;
	struct image image = { 0 };
	struct template tmpl = { 0 };
	/* Not to be outlived: the daemon undoes what waits for us. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
		return 1;
	/* What is there is taken as it is: a new shape of it needs no network. */
	struct resolve_job job = { .home = args->home, .cache = args->cache, .name = args->image, .progress = say_progress };
	if (resolve_build(&job, &image, &err))
		return say_error(&err);
	unsigned memory_mb = args->memory_mb ? args->memory_mb : image.memory_mb;
	int rc = template_build(args->cache, &image, args->vcpus, memory_mb, say_progress, NULL, &tmpl, &err);
	if (rc == 0)
		template_free(&tmpl);
	image_free(&image);
	return rc ? say_error(&err) : 0;
}
