/* link: | */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "shared/base/b64.h"
#include "shared/base/mem.h"

/* RFC 4648, section 10. */
static const struct {
	const char *plain, *coded;
} vectors[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" } };

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		auto_buf coded = BUF_INIT, plain = BUF_INIT;
		b64_encode(&coded, vectors[i].plain, strlen(vectors[i].plain));
		assert_string_equal(coded.p, vectors[i].coded);
		assert_int_equal(b64_decode(&plain, coded.p, coded.len), 0);
		assert_string_equal(plain.p, vectors[i].plain);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9", "Zm\n9", "Zm9-", "=Zg=" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_buf out = BUF_INIT;
		assert_int_equal(b64_decode(&out, bad[i], strlen(bad[i])), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors), cmocka_unit_test(test_refused) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
