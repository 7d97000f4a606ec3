#include "daemon/core/password.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

#define SETTING "$2b$"

struct job {
	struct job *next;
	struct passwords *owner;
	uv_work_t work;
	char *password, *against;
	char hash[CRYPT_OUTPUT_SIZE];
	bool ok, match;
	password_cb *cb;
	void *arg;
};

struct passwords {
	uv_loop_t *loop;
	unsigned cost;
	struct job *first, **last; /* that wait */
	unsigned running, waiting;
	bool closing;
};

struct passwords *passwords_new(uv_loop_t *loop, unsigned cost)
{
	struct passwords *p = mem_zalloc(sizeof(*p));
	p->loop = loop;
	p->cost = cost;
	p->last = &p->first;
	return p;
}

bool password_is_current(const struct passwords *p, const char *hash)
{
	auto_free char *setting = mem_printf(SETTING "%02u$", p->cost);
	return str_starts(hash, setting);
}

static void job_free(struct job *job)
{
	explicit_bzero(job->password, strlen(job->password));
	free(job->password);
	free(job->against);
	free(job);
}

/* In a worker. */
static void work(uv_work_t *w)
{
	struct job *job = w->data;
	struct crypt_data *data = mem_zalloc(sizeof(*data));
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	char entropy[16];
	rand_bytes(entropy, sizeof(entropy));
	const char *salt = job->against;
	if (!salt)
		salt = crypt_gensalt_rn(SETTING, job->owner->cost, entropy, sizeof(entropy), setting, sizeof(setting));
	const char *hash = salt ? crypt_rn(job->password, salt, data, sizeof(*data)) : NULL;
	job->ok = hash && hash[0] != '*';
	if (job->ok) {
		str_copy(job->hash, sizeof(job->hash), hash);
		job->match = job->against && strlen(hash) == strlen(job->against) && mem_equal_ct(hash, job->against, strlen(hash));
	}
	explicit_bzero(data, sizeof(*data));
	free(data);
}

static void start_more(struct passwords *p);

static void going_down(struct err *err)
{
	err_set(err, ERR_UNAVAILABLE, "the daemon is going down");
}

static void after(uv_work_t *w, int status)
{
	struct job *job = w->data;
	struct passwords *p = job->owner;
	struct err err = ERR_INIT;
	p->running--;
	if (p->closing)
		going_down(&err);
	else if (status != 0 || !job->ok)
		err_set(&err, ERR_INTERNAL, "the password cannot be hashed");
	job->cb(job->arg, job->against ? NULL : job->hash, job->match, err.code ? &err : NULL);
	job_free(job);
	if (!p->closing)
		start_more(p);
	else if (!p->running)
		free(p);
}

static void start_more(struct passwords *p)
{
	while (p->first && p->running < PASSWORD_RUNNING) {
		struct job *job = p->first;
		p->first = job->next;
		if (!p->first)
			p->last = &p->first;
		p->waiting--;
		p->running++;
		uv_queue_work(p->loop, &job->work, work, after);
	}
}

int password_run(struct passwords *p, const char *password, const char *against, password_cb *cb, void *arg, struct err *err)
{
	if (p->waiting >= PASSWORD_WAITING) {
		err_set(err, ERR_LIMIT, "too many people log in at this moment");
		err_word(err, "rate_limited");
		return err_hint(err, "try again in some seconds");
	}
	struct job *job = mem_zalloc(sizeof(*job));
	*job = (struct job){
		.owner = p, .password = mem_strdup(password), .against = against ? mem_strdup(against) : NULL, .cb = cb, .arg = arg
	};
	job->work.data = job;
	*p->last = job;
	p->last = &job->next;
	p->waiting++;
	start_more(p);
	return 0;
}

void passwords_close(struct passwords *p)
{
	if (!p)
		return;
	struct err err = ERR_INIT;
	going_down(&err);
	p->closing = true;
	while (p->first) {
		struct job *job = p->first;
		p->first = job->next;
		job->cb(job->arg, NULL, false, &err);
		job_free(job);
	}
	if (!p->running)
		free(p);
}
