#include <stdlib.h>

#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "daemon/core/builder.h"
#include "daemon/core/catalog.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static void write_list(struct jw *w, const char *key, char *const *list)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; list && list[i]; i++)
		jw_str(w, list[i]);
	jw_arr_end(w);
}

static void write_config(struct jw *w, const struct catalog_image *image)
{
	jw_key(w, "config");
	jw_obj(w);
	jw_kstr(w, "user", image->user);
	jw_kstr(w, "workdir", image->workdir);
	write_list(w, "entrypoint", image->entrypoint);
	write_list(w, "cmd", image->cmd);
	write_list(w, "exposedPorts", image->ports);
	api_write_pairs(w, "env", image->env);
	api_write_pairs(w, "labels", image->labels);
	jw_obj_end(w);
}

static void write_image(struct jw *w, const struct catalog_image *image)
{
	jw_obj(w);
	jw_kstr(w, "name", image->name);
	jw_kstr(w, "state", image->state);
	jw_kstr(w, "key", image->key);
	jw_kstr(w, "kernel", image->kernel);
	jw_key(w, "sizeBytes");
	if (image->key)
		jw_int(w, image->size_bytes);
	else
		jw_null(w);
	api_write_time(w, "createdAt", image->created_ms);
	if (image->digest) {
		jw_kstr(w, "digest", image->digest);
		jw_kstr(w, "source", image->source);
		write_list(w, "tags", image->tags);
		write_config(w, image);
	}
	jw_obj_end(w);
}

void api_write_image(struct jw *w, struct api *api, const char *name)
{
	struct catalog_image image;
	if (catalog_get(api->core, name, &image, NULL)) {
		jw_null(w); /* removed meanwhile */
		return;
	}
	write_image(w, &image);
	catalog_release(&image);
}

static void add_to_list(void *arg, const struct catalog_image *image)
{
	write_image(arg, image);
}

void sbx_listImages(struct http_req *r)
{
	auto_buf out = BUF_INIT;
	struct err err = ERR_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "images");
	jw_arr(&w);
	if (catalog_each(api_of(r)->core, add_to_list, &w, &err)) {
		http_reply_err(r, &err);
		return;
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

static void reply_image(struct http_req *r, int status, const char *name)
{
	struct catalog_image image;
	struct err err = ERR_INIT;
	if (catalog_get(api_of(r)->core, name, &image, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_image(&w, &image);
	catalog_release(&image);
	http_reply_json(r, status, &out);
}

void sbx_getImage(struct http_req *r)
{
	reply_image(r, 200, http_param(r, "image"));
}

void sbx_deleteImage(struct http_req *r)
{
	struct err err = ERR_INIT;
	if (catalog_remove(api_of(r)->core, http_param(r, "image"), &err))
		http_reply_err(r, &err);
	else
		http_reply_empty(r, 204);
}

void sbx_tagImage(struct http_req *r)
{
	struct err err = ERR_INIT;
	char tag[CATALOG_TAG_SIZE];
	const char *wanted = js_str(js_get(http_body(r), "tag"), "");
	if (catalog_tag(api_of(r)->core, http_param(r, "image"), wanted, tag, &err))
		http_reply_err(r, &err);
	else
		reply_image(r, 201, tag);
}

/* ---- progress as NDJSON ---- */

static void send_line(struct http_req *r, struct buf *line)
{
	buf_ch(line, '\n');
	http_stream_write(r, line->p, line->len);
}

void api_send_progress(struct http_req *r, const char *phase, const char *text)
{
	auto_buf line = BUF_INIT;
	struct jw w;
	jw_init(&w, &line);
	jw_obj(&w);
	jw_kstr(&w, "phase", phase);
	jw_kstr(&w, "message", text);
	jw_obj_end(&w);
	send_line(r, &line);
}

void api_end_progress(struct http_req *r, const char *image, int64_t begun_ms, const struct err *err)
{
	auto_buf line = BUF_INIT;
	struct jw w;
	jw_init(&w, &line);
	jw_obj(&w);
	if (err) {
		jw_key(&w, "error");
		api_write_error(&w, err);
	} else {
		jw_kbool(&w, "done", true);
		jw_key(&w, "seconds");
		jw_num(&w, (double)(clock_mono_ms() - begun_ms) / 1000);
		jw_key(&w, "image");
		api_write_image(&w, api_of(r), image);
	}
	jw_obj_end(&w);
	send_line(r, &line);
	http_stream_end(r);
}

/* ---- build ---- */

struct build_call {
	struct http_req *req;
	struct build_wait *wait;
	char *name;
	int64_t begun_ms;
};

static void on_progress(void *arg, const char *phase, const char *text)
{
	struct build_call *call = arg;
	api_send_progress(call->req, phase, text);
}

static void on_done(void *arg, const struct err *err)
{
	struct build_call *call = arg;
	call->wait = NULL;
	api_end_progress(call->req, call->name, call->begun_ms, err);
}

static void on_request_over(struct http_req *r, bool delivered)
{
	(void)delivered;
	struct build_call *call = http_user(r);
	builder_forget(call->wait);
	free(call->name);
	free(call);
}

static const struct build_ops build_call_ops = { .on_progress = on_progress, .on_done = on_done };

void sbx_buildImage(struct http_req *r)
{
	const char *name = http_param(r, "image");
	struct catalog_choice choice;
	struct err err = ERR_INIT;
	if (catalog_choose(api_of(r)->core, name, &choice, &err)) {
		http_reply_err(r, &err);
		return;
	}
	int64_t vcpus = 1, memory_mb = choice.memory_mb;
	js_int(js_get(http_body(r), "vcpus"), &vcpus);
	js_int(js_get(http_body(r), "memoryMb"), &memory_mb);
	struct build_call *call = mem_zalloc(sizeof(*call));
	*call = (struct build_call){ .req = r, .name = mem_strdup(name), .begun_ms = clock_mono_ms() };
	struct build_goal goal = { choice.name, (unsigned)vcpus, (unsigned)memory_mb };
	call->wait = builder_wait(core_builder(api_of(r)->core), &goal, &build_call_ops, call, &err);
	catalog_choice_free(&choice);
	if (!call->wait) {
		http_reply_err(r, &err);
		free(call->name);
		free(call);
		return;
	}
	http_set_user(r, call);
	http_on_done(r, on_request_over);
	http_stream_begin(r, 200, "application/x-ndjson", -1, NULL);
}
