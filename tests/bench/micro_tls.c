/* link: tests/unit/tls_fixture.c daemon/net/?*.c shared/net/ca.c shared/net/http1.c shared/net/tcp.c | -luv -lssl -lcrypto -lpthread -lcmocka */
/*
 * TLS pipes on loopback, both ends in this process on one loop (so each byte is sealed, opened and copied four times by one core):
 * how much a second one way and both ways, how many handshakes a second, and what an idle pipe costs. usage: micro_tls [MIB
 * [PIPES]]
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"
#include "tests/unit/tls_fixture.h"

enum { BLOCK = 64 << 10 };

struct stream {
	pthread_t thread;
	int fd;
	size_t n;
};

static void *pour(void *arg)
{
	struct stream *s = arg;
	static const char block[BLOCK];
	for (size_t left = s->n; left > 0;) {
		ssize_t n = write(s->fd, block, left < BLOCK ? left : BLOCK);
		if (n <= 0)
			break;
		left -= (size_t)n;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *drink(void *arg)
{
	struct stream *s = arg;
	auto_free char *block = mem_array(BLOCK, 1);
	while (read(s->fd, block, BLOCK) > 0)
		;
	return NULL;
}

static double cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_THREAD, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void throughput(size_t mib, int ways)
{
	struct tls_world *w = tls_world_new();
	tls_join(w);
	fcntl(w->c.plain, F_SETFL, 0);
	fcntl(w->s.plain, F_SETFL, 0);
	struct stream s[] = { { .fd = w->c.plain, .n = mib << 20 }, { .fd = w->s.plain }, { .fd = w->s.plain, .n = mib << 20 },
		{ .fd = w->c.plain } };
	int64_t start = clock_mono_us();
	double used = cpu();
	if (ways == 1)
		s[2].n = 0;
	for (size_t i = 0; i < 4; i++)
		pthread_create(&s[i].thread, NULL, i % 2 ? drink : pour, &s[i]);
	tls_until(w, &w->c.ended);
	tls_until(w, &w->s.ended);
	double seconds = (double)(clock_mono_us() - start) / 1e6, total = (double)mib * ways;
	printf("%s: %.0f MiB/s, %.2f s of the loop's CPU a GiB\n", ways == 1 ? "one way" : "both ways", total / seconds,
		(cpu() - used) * 1024 / total);
	for (size_t i = 0; i < 4; i++)
		pthread_join(s[i].thread, NULL);
	tls_world_free(w);
}

static long resident_kib(void)
{
	long pages = 0, ignored = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f && fscanf(f, "%ld %ld", &ignored, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void idle(size_t pairs)
{
	struct tls_world *w = tls_world_new();
	struct tls_end *ends = mem_array(2 * pairs, sizeof(*ends));
	tls_join(w); /* what is made once */
	size_t before = mallinfo2().uordblks;
	long resident = resident_kib();
	int64_t start = clock_mono_us();
	double used = cpu();
	for (size_t i = 0; i < pairs; i++) {
		w->accept = &ends[2 * i];
		tls_start(w, &ends[2 * i + 1], NULL, TLS_HOST);
		tls_until(w, &ends[2 * i].ready);
	}
	printf("handshakes: %.0f a second, both sides, %.2f ms of CPU each\n",
		(double)pairs * 1e6 / (double)(clock_mono_us() - start), (cpu() - used) * 1e3 / (double)pairs);
	malloc_trim(0);
	printf("%zu idle pipes: %zu bytes of heap each, %.1f KiB resident\n", 2 * pairs,
		(mallinfo2().uordblks - before) / (2 * pairs), (double)(resident_kib() - resident) / (double)(2 * pairs));
	/* each has carried a megabyte, and is idle again */
	auto_free char *block = mem_array(BLOCK, 1);
	for (size_t i = 0; i < pairs; i++) {
		for (int k = 0; k < 16; k++) {
			tls_say(w, ends[2 * i].plain, block, BLOCK / 2);
			tls_hear(w, ends[2 * i + 1].plain, block, BLOCK / 2);
		}
	}
	malloc_trim(0);
	printf("after use: %zu bytes of heap each, %.1f KiB resident\n", (mallinfo2().uordblks - before) / (2 * pairs),
		(double)(resident_kib() - resident) / (double)(2 * pairs));
	for (size_t i = 0; i < 2 * pairs; i++) {
		tls_pipe_cut(ends[i].pipe);
		close(ends[i].plain);
	}
	free(ends);
	tls_world_free(w);
}

int main(int argc, char **argv)
{
	size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 512, pipes = argc > 2 ? strtoul(argv[2], NULL, 10) : 400;
	throughput(mib, 1);
	throughput(mib, 2);
	idle(pipes / 2);
	return 0;
}
