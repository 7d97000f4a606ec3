#include "daemon/core/place.h"

#include <math.h>
#include <string.h>

#include "daemon/core/host.h"
#include "daemon/core/internal.h"
#include "daemon/core/remote_snapshot.h"
#include "daemon/db/account.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

#define BYOC "byoc"

/* What a host keeps for itself, of large machines; an eighth of a smaller one. And how many vCPUs share a processor. */
static const double memory_reserve_mb = 8192, disk_reserve_mb = 30720, reserve_part = 8, cpu_share = 1.5;
static const double unknown_free = 0.5, little = 1e-3;
enum { MEMORY_GUESS_MB = 512, DISK_GUESS_MB = 1024 };

/* ---- how full a host is ---- */

static double fraction(double all, double reserve, double used, double more)
{
	double usable = all - fmin(reserve, all / reserve_part);
	return all > 0 ? (usable - used - more) / usable : unknown_free;
}

double place_free(const struct db_host *host, const struct place_load *load, const struct place_load *want)
{
	double memory = fraction((double)host->memory_mb, memory_reserve_mb, load->memory_mb, want->memory_mb);
	double disk = fraction((double)host->disk_gb * 1024, disk_reserve_mb, load->disk_mb, want->disk_mb);
	double cpu = fraction((double)host->cpu_cores * cpu_share, 0, load->vcpus, want->vcpus);
	/* processors are shared: without any left it still runs, only slower */
	if (cpu < little)
		cpu = little / (1 + little - cpu);
	return fmin(memory, fmin(disk, cpu));
}

static double disk_of(const struct db_sandbox *row)
{
	return row->disk_mb ? (double)row->disk_mb : DISK_GUESS_MB;
}

static double memory_of(const struct db_sandbox *row)
{
	return row->memory_mb ? (double)row->memory_mb : MEMORY_GUESS_MB;
}

/* What is paused may come back: it counts by half of its memory, and two thirds of its disk. */
static void add_load(struct place_load *load, const struct sandbox *sb)
{
	bool paused = sb->state == SANDBOX_PAUSED;
	bool runs = !paused && sb->state != SANDBOX_STOPPED && sb->state != SANDBOX_DELETING;
	load->disk_mb += disk_of(&sb->row) * (runs ? 1 : 2.0 / 3);
	load->memory_mb += memory_of(&sb->row) * (runs ? 1 : paused ? 0.5 : 0);
	load->vcpus += runs ? (double)sb->row.vcpus : 0;
}

static struct place_load load_of(const struct core *core, int64_t host)
{
	struct place_load load = { 0 };
	for (size_t i = 0; i < core->count; i++)
		if (core->boxes[i]->row.host == host)
			add_load(&load, core->boxes[i]);
	return load;
}

/* ---- which may carry it ---- */

static bool has_tags(struct core *core, const struct db_host *host, char *const *tags)
{
	struct db_host_tag *all;
	size_t n, have = 0, want = 0;
	if (!tags || !tags[0])
		return true;
	if (db_host_tags(core->db, host->id, &all, &n, NULL))
		return false;
	for (; tags[want]; want++)
		for (size_t i = 0; i < n; i++)
			have += !strcmp(all[i].tag, tags[want]);
	db_host_tags_release(all, n);
	return have >= want;
}

struct choice {
	struct core *core;
	const struct sandbox_spec *spec;
	bool byoc;    /* only hosts of that team */
	int64_t only; /* the one that has the snapshot, or 0 */
};

static bool is_theirs(const struct choice *c, const struct db_host *host)
{
	bool own = !strcmp(host->type, BYOC);
	return c->byoc ? own && host->team == c->spec->account : !own;
}

static bool may_carry(const struct choice *c, const struct db_host *host)
{
	const char *named = c->spec->host;
	return is_theirs(c, host) && host_is_up(host) && (!c->only || c->only == host->id) &&
		(!named || !strcmp(named, host->uid)) && has_tags(c->core, host, c->spec->tags);
}

static int find_best(const struct choice *c, const struct db_host *all, size_t n)
{
	const struct sandbox_spec *spec = c->spec;
	const struct place_load want = {
		.memory_mb = spec->memory_mb ? spec->memory_mb : MEMORY_GUESS_MB, .vcpus = spec->vcpus, .disk_mb = DISK_GUESS_MB
	};
	double best_free = 0; /* what fits exactly fits */
	int best = -1;
	for (size_t i = 0; i < n; i++) {
		if (!may_carry(c, &all[i]))
			continue;
		const struct place_load load = load_of(c->core, all[i].id);
		double left = place_free(&all[i], &load, &want);
		if (left >= best_free) { /* of equals the oldest, which comes last */
			best = (int)i;
			best_free = left;
		}
	}
	return best;
}

/* Are there hosts for everybody at all? One that never registered is none yet. */
static bool has_hosts(const struct choice *c, const struct db_host *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_theirs(c, &all[i]) && all[i].address)
			return true;
	return false;
}

/* Is there one that was asked for by name? */
static bool is_known(const struct choice *c, const struct db_host *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_theirs(c, &all[i]) && !strcmp(all[i].uid, c->spec->host))
			return true;
	return false;
}

static int no_hosts(const struct choice *c, const struct db_host *all, size_t n, struct err *err)
{
	const struct sandbox_spec *spec = c->spec;
	if (spec->host && !is_known(c, all, n)) {
		err_set(err, ERR_NOT_FOUND, "there is no host '%s' to carry it", spec->host);
		return err_hint(err, "list them with: sbx host ls");
	}
	if (spec->snapshot && !c->only) {
		err_set(err, ERR_NOT_FOUND, "no snapshot '%s' is kept on a host", spec->snapshot);
		return err_hint(err, "what is made from one runs where that is kept; list them with: sbx snapshot ls");
	}
	if (spec->host && c->only)
		err_set(err, ERR_UNAVAILABLE, "host '%s' does not keep the snapshot, or is not there, or has no room", spec->host);
	else if (spec->host)
		err_set(err, ERR_UNAVAILABLE, "host '%s' is not there, or has no room", spec->host);
	else if (c->only)
		err_set(err, ERR_UNAVAILABLE, "the host that keeps the snapshot is not there, or has no room");
	else
		err_set(err, ERR_UNAVAILABLE, "no host%s can take the sandbox", c->byoc ? " of the team" : "");
	err_hint(err, "see which are online, what they have and how they are tagged: sbx host ls");
	return err_word(err, "no_hosts");
}

static int choose(const struct choice *c, struct db_host *all, size_t n, struct db_host *out, struct err *err)
{
	const struct sandbox_spec *spec = c->spec;
	bool asked = spec->host || (spec->tags && spec->tags[0]) || c->only;
	bool at_home = !c->byoc && !asked && (spec->account == TEAM_LOCAL || spec->snapshot || !has_hosts(c, all, n));
	if (at_home)
		return 0;
	int best = spec->snapshot && !c->only ? -1 : find_best(c, all, n);
	if (best < 0)
		return no_hosts(c, all, n, err);
	*out = all[best];
	all[best] = (struct db_host){ 0 };
	return 1;
}

static bool brings_hosts(struct core *core, int64_t team)
{
	struct db_team row;
	if (team == TEAM_LOCAL || db_team_by_id(core->db, team, &row, NULL) != 1)
		return false;
	bool byoc = row.byoc != 0;
	db_team_release(&row);
	return byoc;
}

int place_choose(struct core *core, const struct sandbox_spec *spec, struct db_host *out, struct err *err)
{
	struct choice c = { .core = core, .spec = spec, .byoc = brings_hosts(core, spec->account) };
	struct db_host *all;
	size_t n;
	if (spec->id)
		return 0; /* it was placed here by a control plane */
	if (spec->snapshot && remote_snapshot_host(core, spec->account, spec->snapshot, &c.only, err) < 0)
		return -1;
	if (db_host_list(core->db, TEAM_ANY, &all, &n, err))
		return -1;
	int rc = choose(&c, all, n, out, err);
	db_hosts_release(all, n);
	return rc;
}
