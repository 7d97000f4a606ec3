/* link: shared/store/hash*.c | -lcrypto -ldl */
/* BLAKE3 of 64 KiB buffers on one core in GB/s: ours, each implementation that this CPU can run, beside OpenSSL's SHA-256 and,
 * where it is installed, LLVM's BLAKE3 (the reference implementation's assembly). A line each: NAME GB/s. Best of several rounds,
 * which go round robin so that all see the same machine. With `small`, of 300 bytes (tree nodes); with a number, of so many bytes.
 */
#include <dlfcn.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/mem.h"
#include "shared/store/hash_internal.h"

#define ROUNDS 15
#define ROUND_BYTES ((size_t)64 << 20)
#define PEER_STATE 4096 /* its hasher takes less than half of it */

struct peer {
	void (*init)(void *), (*update)(void *, const void *, size_t), (*finalize)(const void *, uint8_t *, size_t);
	uint64_t state[PEER_STATE / 8];
	EVP_MD_CTX *ctx;
	EVP_MD *md;
};

static bool load_llvm(struct peer *p)
{
	static const char *const names[] = { "libLLVM-15.so.1", "libLLVM-16.so.1", "libLLVM-17.so.1", "libLLVM.so.18.1",
		"libLLVM.so.19.1" };
	void *lib = NULL;
	for (size_t i = 0; i < ARRAY_LEN(names) && !lib; i++)
		lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return false;
	*(void **)&p->init = dlsym(lib, "llvm_blake3_hasher_init");
	*(void **)&p->update = dlsym(lib, "llvm_blake3_hasher_update");
	*(void **)&p->finalize = dlsym(lib, "llvm_blake3_hasher_finalize");
	return p->init && p->update && p->finalize;
}

/* (util.h and OpenSSL both have an ERR_STATE.) */
static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum who { OURS, LLVM, SHA256 };

static void once(enum who who, const struct hash_impl *impl, struct peer *p, const uint8_t *data, size_t n)
{
	struct hash h;
	switch (who) {
	case OURS:
		hash_of_by(impl, data, n, &h);
		break;
	case LLVM:
		p->init(p->state);
		p->update(p->state, data, n);
		p->finalize(p->state, h.b, HASH_LEN);
		break;
	case SHA256:
		EVP_DigestInit_ex2(p->ctx, p->md, NULL);
		EVP_DigestUpdate(p->ctx, data, n);
		EVP_DigestFinal_ex(p->ctx, h.b, NULL);
		break;
	}
	__asm__ volatile("" : : "r"(&h) : "memory");
}

int main(int argc, char **argv)
{
	size_t n = argc < 2 ? 65536 : strcmp(argv[1], "small") == 0 ? 300 : strtoul(argv[1], NULL, 10);
	struct peer p = { .ctx = EVP_MD_CTX_new(), .md = EVP_MD_fetch(NULL, "SHA256", NULL) };
	const struct hash_impl *impls[HASH_IMPLS];
	struct row {
		char name[32];
		enum who who;
		const struct hash_impl *impl;
		double best;
	} rows[HASH_IMPLS + 2] = { 0 };
	unsigned count = 0;
	n = n ? n : 1;
	hash_impls(impls);
	for (unsigned i = 0; impls[i]; i++, count++) {
		rows[count] = (struct row){ .who = OURS, .impl = impls[i] };
		(void)snprintf(rows[count].name, sizeof(rows[0].name), "blake3-%s", impls[i]->name);
	}
	if (load_llvm(&p))
		rows[count++] = (struct row){ "blake3-llvm", LLVM, NULL, 0 };
	rows[count++] = (struct row){ "sha256-openssl", SHA256, NULL, 0 };

	auto_free uint8_t *data = mem_zalloc(n);
	for (size_t i = 0; i < n; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < count; i++) {
			size_t times = ROUND_BYTES / n + 1;
			double start = now();
			for (size_t k = 0; k < times; k++)
				once(rows[i].who, rows[i].impl, &p, data, n);
			double speed = (double)(times * n) / 1e9 / (now() - start);
			rows[i].best = speed > rows[i].best ? speed : rows[i].best;
		}
	}
	for (unsigned i = 0; i < count; i++)
		printf("%-16s %.2f\n", rows[i].name, rows[i].best);
	EVP_MD_CTX_free(p.ctx);
	EVP_MD_free(p.md);
	return 0;
}
