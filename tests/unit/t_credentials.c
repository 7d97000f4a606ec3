/* link: daemon/hosts/credentials.c | */
/* credentials: a host's file of them, whole or refused. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/hosts/credentials.h"
#include "shared/base/fs.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

struct place {
	char home[32];
	char *path;
};

static int setup(void **state)
{
	struct place *p = mem_zalloc(sizeof(*p));
	str_copy(p->home, sizeof(p->home), "/tmp/t_credentials-XXXXXX");
	assert_non_null(mkdtemp(p->home));
	p->path = fs_join(p->home, "host.json");
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	chmod(p->home, 0700);
	unlink(p->path);
	assert_int_equal(rmdir(p->home), 0); /* and nothing else in it */
	free(p->path);
	free(p);
	return 0;
}

static char *const words[] = { (char[]){ "https://control.example" }, (char[]){ "host-7" }, (char[]){ "10.0.0.7:7000" },
	(char[]){ "a.b.c" }, (char[]){ "0f0f" }, (char[]){ "r1" }, (char[]){ "cert\n1\n" }, (char[]){ "key\n2\n" },
	(char[]){ "ca\n3\n" } };

static struct credentials some(void)
{
	return (struct credentials){ .control = words[0],
		.id = words[1],
		.address = words[2],
		.token = words[3],
		.refresh_token = words[4],
		.request = words[5],
		.cert = words[6],
		.key = words[7],
		.ca = words[8],
		.issued_ms = 1234567890123 };
}

static void assert_some(const struct credentials *c, const char *request)
{
	assert_string_equal(c->control, words[0]);
	assert_string_equal(c->id, words[1]);
	assert_string_equal(c->address, words[2]);
	assert_string_equal(c->token, words[3]);
	assert_string_equal(c->refresh_token, words[4]);
	if (request)
		assert_string_equal(c->request, request);
	else
		assert_null(c->request);
	assert_string_equal(c->cert, words[6]);
	assert_string_equal(c->key, words[7]);
	assert_string_equal(c->ca, words[8]);
}

static void write_file(const struct place *p, const char *text, size_t n)
{
	assert_int_equal(fs_write_atomic(p->path, text, n, 0600, NULL), 0);
}

static void assert_damaged(const struct place *p)
{
	struct credentials c;
	struct err err = ERR_INIT;
	assert_int_equal(credentials_read(p->home, &c, &err), -1);
	if (err.code != ERR_INVALID)
		print_error("%s\n", err.msg);
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.msg, p->path));
	assert_non_null(strstr(err.hint, "sbx host add"));
	credentials_free(&c);
}

static void test_round_trip(void **state)
{
	const struct place *p = *state;
	struct credentials c = some();
	struct stat st;
	for (int with = 0; with < 2; with++) {
		c.request = with ? words[5] : NULL;
		assert_int_equal(credentials_write(p->home, &c, NULL), 0);
		assert_int_equal(stat(p->path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		struct credentials back;
		assert_int_equal(credentials_read(p->home, &back, NULL), 1);
		assert_some(&back, c.request);
		assert_true(back.issued_ms == c.issued_ms);
		credentials_free(&back);
		assert_null(back.id);
	}
}

static void test_none(void **state)
{
	const struct place *p = *state;
	struct credentials c;
	struct err err = ERR_INIT;
	assert_int_equal(credentials_read(p->home, &c, &err), 0);
	assert_int_equal(err.code, ERR_OK);
	credentials_free(&c);
	assert_int_equal(credentials_read("/nonexistent/home", &c, &err), 0);
	credentials_free(&c);
	assert_int_equal(credentials_remove(p->home, &err), 0);
}

static void test_what_cannot_be_looked_at_is_not_none(void **state)
{
	const struct place *p = *state;
	struct credentials c;
	struct err err = ERR_INIT;
	assert_int_equal(mkdir(p->path, 0700), 0);
	assert_int_equal(credentials_read(p->home, &c, &err), -1);
	assert_int_not_equal(err.code, ERR_OK);
	credentials_free(&c);
	assert_int_equal(rmdir(p->path), 0);
	write_file(p, "{}", 2);
	err_clear(&err);
	assert_int_equal(credentials_read(p->path, &c, &err), -1); /* ENOTDIR */
	assert_int_not_equal(err.code, ERR_OK);
	credentials_free(&c);
}

static void test_removed(void **state)
{
	const struct place *p = *state;
	struct credentials c = some();
	assert_int_equal(credentials_write(p->home, &c, NULL), 0);
	assert_int_equal(credentials_remove(p->home, NULL), 0);
	assert_false(fs_exists(p->path));
	assert_int_equal(credentials_remove(p->home, NULL), 0);
}

/* Each member: not there, of another type, empty, and with what could not stand where it goes. */
static void test_damage_in_every_member(void **state)
{
	static const struct {
		const char *key;
		bool optional, pem;
	} keys[] = { { "control", false, false }, { "id", false, false }, { "address", false, false }, { "token", false, false },
		{ "refresh_token", false, false }, { "request", true, false }, { "cert_pem", false, true },
		{ "key_pem", false, true }, { "ca_cert_pem", false, true } };
	static const char *const bad[] = { "7", "null", "\"\"", "[]", "\"a\\u0000b\"", "\"a\\r\\nX: y\"", "\"a b\"", "\"\\u00e9\"",
		"\"\\u007f\"" };
	const struct place *p = *state;
	for (size_t k = 0; k < ARRAY_LEN(keys); k++)
		for (size_t b = 0; b <= ARRAY_LEN(bad); b++) {
			bool gone = b == ARRAY_LEN(bad);
			auto_buf text = BUF_INIT;
			if ((gone && keys[k].optional) || (keys[k].pem && !gone && b > 4))
				continue;
			buf_str(&text, "{\"issued_ms\":1");
			for (size_t i = 0; i < ARRAY_LEN(keys); i++)
				if (i != k)
					buf_fmt(&text, ",\"%s\":\"x\"", keys[i].key);
				else if (!gone)
					buf_fmt(&text, ",\"%s\":%s", keys[i].key, bad[b]);
			buf_ch(&text, '}');
			write_file(p, text.p, text.len);
			assert_damaged(p);
		}
}

static void test_an_id_is_no_path(void **state)
{
	static const char *const bad[] = { "..", "a/b", "a?b", "a%2f",
		"01234567890123456789012345678901234567890123456789012345678901234" };
	const struct place *p = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct credentials c = some();
		auto_free char *id = mem_strdup(bad[i]);
		c.id = id;
		assert_int_equal(credentials_write(p->home, &c, NULL), 0);
		assert_damaged(p);
	}
}

static void test_damaged_time(void **state)
{
	static const char *const times[] = { "", ",\"issued_ms\":\"1\"", ",\"issued_ms\":1.5", ",\"issued_ms\":1e30" };
	const struct place *p = *state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		auto_free char *text =
			mem_printf("{\"control\":\"x\",\"id\":\"x\",\"address\":\"x\",\"token\":\"x\",\"refresh_token\":\"x\","
				   "\"cert_pem\":\"x\",\"key_pem\":\"x\",\"ca_cert_pem\":\"x\"%s}",
				times[i]);
		write_file(p, text, strlen(text));
		assert_damaged(p);
	}
}

static void test_torn(void **state)
{
	const struct place *p = *state;
	struct credentials c = some();
	auto_buf text = BUF_INIT;
	assert_int_equal(credentials_write(p->home, &c, NULL), 0);
	assert_int_equal(fs_read(p->path, 1 << 20, &text, NULL), 0);
	for (size_t n = 0; n + 2 <= text.len; n++) { /* without the end of its last line it is still whole */
		write_file(p, text.p, n);
		assert_damaged(p);
	}
	for (size_t i = 0; i < text.len; i++) { /* blocks that were never written */
		auto_free char *copy = mem_strndup(text.p, text.len);
		copy[i] = '\0';
		write_file(p, copy, text.len);
		if (i + 1 < text.len)
			assert_damaged(p);
	}
}

static void test_too_large(void **state)
{
	const struct place *p = *state;
	auto_free char *text = mem_array(100000, 1);
	memset(text, ' ', 100000);
	write_file(p, text, 100000);
	assert_damaged(p);
}

/* The old ones stay when the new ones cannot be written. */
static void test_folder_that_cannot_be_written(void **state)
{
	const struct place *p = *state;
	struct credentials c = some();
	struct err err = ERR_INIT;
	assert_int_equal(credentials_write(p->home, &c, NULL), 0);
	c.token = words[4];
	assert_int_equal(credentials_write("/proc/self", &c, &err), -1);
	assert_int_not_equal(err.code, ERR_OK);
	assert_null(strstr(err.msg, words[4]));
	if (geteuid() != 0) {
		assert_int_equal(chmod(p->home, 0500), 0);
		assert_int_equal(credentials_write(p->home, &c, &err), -1);
		assert_int_equal(chmod(p->home, 0700), 0);
	}
	assert_int_equal(credentials_read(p->home, &c, NULL), 1);
	assert_some(&c, words[5]);
	credentials_free(&c);
}

/* ---- answers ---- */

static const char answer[] = "{\"host\":{\"id\":\"host-8\"},\"token\":\"d.e.f\",\"refresh_token\":\"1e1e\",\"cert_pem\":\"C\\n\","
			     "\"key_pem\":\"K\\n\",\"ca_cert_pem\":\"A\\n\"}";

static struct credentials copied(void)
{
	struct credentials c = some();
	char **const all[] = { &c.control, &c.id, &c.address, &c.token, &c.refresh_token, &c.request, &c.cert, &c.key, &c.ca };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*all[i] = mem_strdup(*all[i]);
	return c;
}

static void test_answer_taken(void **state)
{
	struct credentials c = copied();
	(void)state;
	auto_js *doc = js_parse(answer, strlen(answer), JS_LIMITS_DEFAULT, NULL);
	assert_int_equal(credentials_take(&c, doc, NULL), 0);
	assert_string_equal(c.control, words[0]);
	assert_string_equal(c.address, words[2]);
	assert_string_equal(c.id, "host-8");
	assert_string_equal(c.token, "d.e.f");
	assert_string_equal(c.refresh_token, "1e1e");
	assert_string_equal(c.cert, "C\n");
	assert_string_equal(c.key, "K\n");
	assert_string_equal(c.ca, "A\n");
	assert_null(c.request);
	assert_in_range(clock_wall_ms() - c.issued_ms, 0, 10000);
	credentials_free(&c);
}

static void test_answer_that_cannot_be(void **state)
{
	static const char *const changes[][2] = {
		{ "\"host\"", "\"hosts\"" },
		{ "{\"id\":\"host-8\"}", "\"host-8\"" },
		{ "\"host-8\"", "7" },
		{ "\"host-8\"", "\"\"" },
		{ "\"host-8\"", "\"../x\"" },
		{ "\"d.e.f\"", "\"\"" },
		{ "\"d.e.f\"", "\"d\\r\\nX-Host-Token: e\"" },
		{ "\"token\"", "\"taken\"" },
		{ "\"1e1e\"", "null" },
		{ "\"1e1e\"", "\"1e 1e\"" },
		{ "\"C\\n\"", "\"\"" },
		{ "\"K\\n\"", "{}" },
		{ "\"A\\n\"", "false" },
	};
	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(changes); i++) {
		auto_buf text = BUF_INIT;
		const char *at = i < ARRAY_LEN(changes) ? strstr(answer, changes[i][0]) : NULL;
		if (i < ARRAY_LEN(changes)) {
			assert_non_null(at);
			buf_add(&text, answer, (size_t)(at - answer));
			buf_fmt(&text, "%s%s", changes[i][1], at + strlen(changes[i][0]));
		}
		auto_js *doc = js_parse(text.p, text.len, JS_LIMITS_DEFAULT, NULL);
		struct credentials c = copied();
		struct err err = ERR_INIT;
		assert_int_equal(credentials_take(&c, doc, &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
		assert_some(&c, words[5]);
		assert_true(c.issued_ms == 1234567890123);
		credentials_free(&c);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_none),
		TEST(test_what_cannot_be_looked_at_is_not_none),
		TEST(test_removed),
		TEST(test_damage_in_every_member),
		TEST(test_an_id_is_no_path),
		TEST(test_damaged_time),
		TEST(test_torn),
		TEST(test_too_large),
		TEST(test_folder_that_cannot_be_written),
		cmocka_unit_test(test_answer_taken),
		cmocka_unit_test(test_answer_that_cannot_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
