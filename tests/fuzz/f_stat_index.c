/* link: shared/store/[a-z]*.c | -lzstd -lpthread */
/* The stat index of a folder: whatever its bytes are, what is accepted can be walked. The sum is made right, or nothing would pass.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/work_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	enum { SUM = 8, REST = SUM + HASH_LEN };
	if (n < REST)
		return 0;
	uint8_t *copy = malloc(n); /* aligned, and its end is watched */
	struct hash sum;
	memcpy(copy, data, n);
	hash_of(copy + REST, n - REST, &sum);
	memcpy(copy + SUM, sum.b, HASH_LEN);
	struct index *ix = index_parse(copy, n);
	const struct index_dir *d = ix ? index_dir(ix, 0) : NULL;
	while (d) {
		const struct index_item *it = index_items(ix, d);
		const struct index_dir *below = NULL;
		for (uint32_t i = 0; i < d->count; i++) {
			if (strlen(index_name(ix, &it[i])) != it[i].name_len)
				__builtin_trap();
			if (it[i].dir)
				below = index_dir(ix, it[i].dir);
		}
		d = below;
	}
	index_free(ix);
	free(copy);
	return 0;
}
