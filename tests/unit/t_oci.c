/* link: daemon/image/oci.c daemon/image/hash.c | -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/image/oci.h"
#include "shared/base/mem.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static int manifest(const char *text, struct oci_manifest *m, struct oci_blob *b, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return oci_read_manifest(text, strlen(text), m, b, err);
}

static void index_chooses(void **state)
{
	(void)state;
	struct oci_manifest m;
	struct oci_blob b;
	struct err err;
	/* as docker buildx writes it: other machines, and an attestation that is for nobody */
	assert_int_equal(
		manifest("{\"schemaVersion\":2,\"manifests\":["
			 "{\"digest\":\"sha256:" A "\",\"size\":7,\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"}},"
			 "{\"digest\":\"sha256:" B "\",\"size\":9,\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}},"
			 "{\"digest\":\"sha256:" A
			 "\",\"size\":7,\"platform\":{\"architecture\":\"unknown\",\"os\":\"unknown\"}}]}",
			&m, &b, &err),
		1);
	assert_string_equal(b.sha, B);
	assert_int_equal(b.size, 9);
	assert_int_equal(manifest("{\"manifests\":[{\"digest\":\"sha256:" A "\",\"size\":7}]}", &m, &b, &err), 1);
	assert_string_equal(b.sha, A);
	assert_int_equal(manifest("{\"manifests\":[{\"digest\":\"sha256:" A
				  "\",\"size\":7,\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"}}]}",
				 &m, &b, &err),
		-1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.msg, "linux/arm64"));
	assert_int_equal(
		manifest("{\"manifests\":[{\"digest\":\"sha256:" A "\",\"size\":7},{\"digest\":\"sha256:" B "\",\"size\":7}]}", &m,
			&b, &err),
		-1);
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_int_equal(
		manifest("{\"manifests\":[{\"digest\":\"sha256:" A "\",\"size\":7},{\"digest\":\"sha256:" A "\",\"size\":7}]}", &m,
			&b, &err),
		1);
}

static void manifest_names_blobs(void **state)
{
	(void)state;
	struct oci_manifest m;
	struct oci_blob b;
	struct err err;
	assert_int_equal(manifest("{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" A "\",\"size\":1},\"layers\":["
				  "{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"digest\":\"sha256:" B
				  "\",\"size\":2},"
				  "{\"digest\":\"sha256:" A "\",\"size\":3}]}",
				 &m, &b, &err),
		0);
	assert_string_equal(m.config.sha, A);
	assert_int_equal(m.layer_count, 2);
	assert_string_equal(m.layers[0].sha, B);
	assert_int_equal(m.layers[1].size, 3);
	oci_manifest_free(&m);
}

static void bad_manifests(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		"[]",
		"null",
		"{}",
		"{\"schemaVersion\":1}",
		"{\"schemaVersion\":2}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" A "\",\"size\":1},\"layers\":[]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" A "\",\"size\":-1},\"layers\":[{\"digest\":\"sha256:" A
		"\",\"size\":1}]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha512:" A "\",\"size\":1},\"layers\":[{\"digest\":\"sha256:" A
		"\",\"size\":1}]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" A "\",\"size\":1},\"layers\":[{\"digest\":\"sha256:" A
		"\",\"size\":1e15}]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:../../../"
		"etc\",\"size\":1},\"layers\":[{\"digest\":\"sha256:" A "\",\"size\":1}]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" A "\",\"size\":1},\"layers\":[{\"digest\":\"sha256:" A
		"\",\"size\":1,\"mediaType\":\"application/vnd.cncf.helm.chart.content.v1.tar+gzip\"}]}",
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" A "\",\"size\":1},\"layers\":[{\"digest\":\"sha256:" A
		"\",\"size\":1,\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip+encrypted\"}]}",
		"{\"schemaVersion\":2,\"manifests\":[]}",
		"{\"manifests\":[7]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct oci_manifest m;
		struct oci_blob b;
		struct err err;
		if (manifest(texts[i], &m, &b, &err) != -1)
			fail_msg("taken: %s", texts[i]);
		assert_int_not_equal(err.code, ERR_OK);
		assert_int_equal(m.layer_count, 0);
	}
}

static int saved(const char *text, struct oci_manifest *m, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return oci_read_saved(text, strlen(text), m, err);
}

static void docker_save(void **state)
{
	(void)state;
	struct oci_manifest m;
	struct err err;
	assert_int_equal(saved("[{\"Config\":\"x.json\",\"RepoTags\":null,\"Layers\":[\"a/layer.tar\",\"b.tar\"]}]", &m, &err), 0);
	assert_string_equal(m.config.path, "x.json");
	assert_string_equal(m.layers[1].path, "b.tar");
	assert_string_equal(m.layers[1].sha, "");
	oci_manifest_free(&m);
	assert_int_equal(saved("[{\"Config\":\"x\",\"Layers\":[\"a\"]},{\"Config\":\"y\",\"Layers\":[\"a\"]}]", &m, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	static const char *const bad[] = { "{}", "[]", "[{}]", "[{\"Config\":\"x\"}]", "[{\"Layers\":[\"a\"]}]",
		"[{\"Config\":\"x\",\"Layers\":[7]}]" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(saved(bad[i], &m, &err), -1);
}

static int config(const char *text, struct oci_config *c, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return oci_read_config(text, strlen(text), c, err);
}

static void configuration(void **state)
{
	(void)state;
	struct oci_config c;
	struct err err;
	assert_int_equal(
		config("{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=1\",\"B=\",\"A=2\"],\"Cmd\":null,"
		       "\"Entrypoint\":[\"/x\"],\"User\":\"1:2\",\"WorkingDir\":\"/w\",\"ExposedPorts\":{\"80/"
		       "tcp\":{}},\"Labels\":{\"k\":\"v\"}},"
		       "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" A "\"]},\"history\":[]}",
			&c, &err),
		0);
	assert_string_equal(c.env[0], "B=");
	assert_string_equal(c.env[1], "A=2"); /* the later one counts */
	assert_null(c.env[2]);
	assert_null(c.cmd[0]);
	assert_string_equal(c.entrypoint[0], "/x");
	assert_string_equal(c.user, "1:2");
	assert_string_equal(c.workdir, "/w");
	assert_string_equal(c.ports[0], "80/tcp");
	assert_string_equal(c.labels[0], "k=v");
	assert_int_equal(c.layer_count, 1);
	assert_string_equal(c.layers[0], A);
	oci_config_free(&c);
	assert_int_equal(config("{\"architecture\":\"arm64\",\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[]}}", &c, &err), -1);
	assert_int_equal(err.code, ERR_FORBIDDEN);
	static const char *const bad[] = {
		"{}",
		"{\"rootfs\":{\"diff_ids\":[\"" A "\"]}}",
		"{\"config\":{\"Env\":[\"=x\"]},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"Env\":[\"x\"]},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"Env\":{}},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"Labels\":[]},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"Labels\":{\"a\":1}},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"WorkingDir\":\"w\"},\"rootfs\":{\"diff_ids\":[]}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (config(bad[i], &c, &err) != -1)
			fail_msg("taken: %s", bad[i]);
}

/* What stands for a plain root file system is a configuration like any other. */
static void plain(void **state)
{
	(void)state;
	auto_buf text = BUF_INIT;
	struct oci_config c;
	struct err err;
	oci_write_plain(A, &text);
	assert_int_equal(config(text.p, &c, &err), 0);
	assert_string_equal(c.layers[0], A);
	assert_string_equal(c.user, "");
	oci_config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(index_chooses), cmocka_unit_test(manifest_names_blobs),
		cmocka_unit_test(bad_manifests), cmocka_unit_test(docker_save), cmocka_unit_test(configuration),
		cmocka_unit_test(plain) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
