/*
 * mem: allocation policy and the cleanup attribute.
 *
 * Two kinds of allocation. Sizes that we chose (a struct, a short string) go through mem_*: they never return NULL;
 * when the machine has no memory left the process says so and aborts, which is safe because every acknowledged
 * state is on disk and the VMs are processes of their own. Sizes that a peer chose (a body, a frame, a file) go
 * through buf.h or mem_try, which report failure.
 */
#ifndef SBX_BASE_MEM_H
#define SBX_BASE_MEM_H

#include <stddef.h>

void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed, overflow checked */
void *mem_grow(void *p, size_t n, size_t size) __attribute__((returns_nonnull)); /* realloc, overflow checked */
char *mem_strdup(const char *s) __attribute__((malloc, nonnull, returns_nonnull));
char *mem_strndup(const char *s, size_t n) __attribute__((malloc, nonnull, returns_nonnull));
char *mem_printf(const char *fmt, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));
/* NULL when there is no memory: for sizes that come from outside. */
void *mem_try(size_t size) __attribute__((malloc));

/* `auto_free char *p = ...;` frees at the end of the scope; give away with `return mem_steal(&p);`. */
#define auto_free __attribute__((cleanup(mem_cleanup_free)))
#define auto_fd __attribute__((cleanup(mem_cleanup_fd)))
#define mem_steal(pp)                                                                                                              \
	({                                                                                                                         \
		__typeof__(*(pp)) p_ = *(pp);                                                                                      \
		*(pp) = NULL;                                                                                                      \
		p_;                                                                                                                \
	})

void mem_cleanup_free(void *pp); /* free(*(void **)pp) */
void mem_cleanup_fd(int *fd);	 /* close unless -1 */

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
