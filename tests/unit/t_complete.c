/* link: cli/[!m]*.c cli/api/[a-z]*.c cli/build/[a-z]*.c cli/cmd/[a-z]*.c cli/fs/[a-z]*.c shared/store/[a-z]*.c cli/render/[a-z]*.c cli/term/[a-z]*.c cli/endpoint/[a-z]*.c shared/contract/[a-z]*.c shared/net/[a-z]*.c shared/yaml/[a-z]*.c build/gen/freestyle_contract.c build/gen/mcp-v8_contract.c build/gen/molecule_contract.c build/gen/sbx_contract.c build/gen/voidrun_contract.c build/gen/wrenn_contract.c | -larchive -lyaml -lzstd -lcrypto -lpthread */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/complete.h"
#include "shared/base/mem.h"

/* ---- what the daemon would know ---- */

static void live(struct cli *cli, enum arg_kind kind, const char *typed, struct buf *out)
{
	(void)typed;
	if (cli->globals.host) { /* somewhere else, other names */
		buf_fmt(out, "at-%s\t\n", cli->globals.host);
		return;
	}
	switch (kind) {
	case ARG_SANDBOX:
		buf_str(out, "demo\trunning\nother\tstopped\n");
		break;
	case ARG_SANDBOX_RUNNING:
		buf_str(out, "demo\trunning\n");
		break;
	case ARG_SANDBOX_PAUSED:
		buf_str(out, "ice\tpaused\n");
		break;
	case ARG_SANDBOX_STOPPED:
		buf_str(out, "other\tstopped\n");
		break;
	case ARG_SANDBOX_ALIVE:
		buf_str(out, "demo\trunning\nice\tpaused\n");
		break;
	case ARG_IMAGE:
		buf_str(out, "base\tready\n");
		break;
	case ARG_KEY:
		buf_str(out, "ci\t\n");
		break;
	case ARG_SNAPSHOT:
		buf_str(out, "warm\tbase\n");
		break;
	case ARG_CONTEXT:
		buf_str(out, "default\tthe local daemon\n");
		break;
	case ARG_COPY:
		buf_str(out, "demo:\trunning\n");
		break;
	case ARG_REF:
	case ARG_REF_FILE:
	case ARG_LABEL:
		buf_str(out, "main\t\n");
		break;
	case ARG_TEAM:
		buf_str(out, "Lab\towner\n");
		break;
	case ARG_MEMBER:
		buf_str(out, "ann@x\tAnn\nbob@x\tBob\n");
		break;
	case ARG_HOST:
		buf_str(out, "h1\tonline\n");
		break;
	case ARG_CHANNEL:
		buf_str(out, "ops\tslack\n");
		break;
	case ARG_NONE:
	case ARG_FILE:
	case ARG_METHOD:
	case ARG_SHELL:
	case ARG_CHANNEL_OR_PROVIDER:
		fail_msg("nobody knows these");
	}
}

/* The answer to a line whose words are separated by single spaces; a space at its end begins an empty word. */
static char *ask(const char *line)
{
	struct cli cli = { .out = BUF_INIT };
	auto_buf out = BUF_INIT;
	char *text = mem_strdup(line), *words[32];
	size_t n = 0;
	for (char *at = text; n < ARRAY_LEN(words); at += strlen(at) + 1) {
		char *space = strchr(at, ' ');
		words[n++] = at;
		if (!space)
			break;
		*space = '\0';
	}
	complete_words(&cli, n, words, live, &out);
	free(text);
	return buf_take(&out, NULL);
}

/* The words of the answer in order, and its last line: "demo other :". */
static void expect(const char *line, const char *want)
{
	auto_free char *answer = ask(line);
	auto_buf got = BUF_INIT;
	for (const char *at = answer; *at; at += strcspn(at, "\n") + 1)
		buf_fmt(&got, "%s%.*s", got.len ? " " : "", (int)strcspn(at, "\t\n"), at);
	if (strcmp(got.p, want) != 0)
		fail_msg("'%s': expected '%s', got '%s'", line, want, got.p);
}

static bool offers(const char *line, const char *word)
{
	auto_free char *answer = ask(line), *first = mem_printf("%s\t", word), *later = mem_printf("\n%s\t", word);
	return strncmp(answer, first, strlen(first)) == 0 || strstr(answer, later);
}

static void expect_offer(const char *line, const char *word)
{
	if (!offers(line, word))
		fail_msg("'%s' does not offer '%s'", line, word);
}

/* ---- names ---- */

static void test_commands(void **state)
{
	(void)state;
	expect("wr", "wrenn :");
	expect("cr", "create :");
	expect("nosuch", ":");
	expect("nosuch ", ":");
	expect_offer("", "image");
	expect_offer("", "molecule");
	expect_offer("", "help");
	assert_false(offers("", "image ls"));
	assert_false(offers("", "__complete"));
	expect("image ", "ls build inspect import pull tag rm commit :");
	expect("image l", "ls :");
	expect("image nosuch ", ":");
	expect("snapshot ", "create ls inspect rm export import copy :");
	expect("help im", "image :");
	expect("help image bu", "build :");
	expect("help ls ", ":");
	expect("help help ", ":");
}

/* Of commands whose first argument is one. */
static void test_verbs(void **state)
{
	(void)state;
	expect("fs label ", "list set rm mv :");
	expect("fs label rm ", "main :");
	expect("fs label rm main ", "main :");
	expect("fs label mv ", "main :");
	expect("fs label mv main ", ":");
	expect("fs label list ", ":");
	expect("fs label ls ", ":");
	expect("fs label nosuch ", ":");
	expect("fs label --force s", "set :");
	expect("team ", "ls create inspect rename rm use member :");
	expect("team use ", "Lab :");
	expect("team member ", "ls add role rm leave :");
	expect("team member rm b", "bob@x :");
	expect("team member rm bob@x ", "ann@x bob@x :");
	expect("team member --team L", "Lab :");
	expect("team member --team Lab role ", "ann@x bob@x :");
	expect("team member add x --role ", "admin member :");
	expect("host tag a", "add :");
	expect("host tag add ", "h1 :");
	expect("host tag add h1 ", ":");
	expect("host tag rm h1 ", ":");
	expect("channel inspect ", "ops :");
	expect("channel test t", "teams telegram :");
	expect("channel test ", "ops discord slack teams googlechat telegram matrix webhook :");
	expect("login --",
		"--local --email --password-stdin --signup --name --team --print-token --output --host --context --api-key "
		"--help :");
	expect("help team member ", ":");
}

static void test_contracts(void **state)
{
	(void)state;
	expect("wrenn caps", "capsule :");
	expect("wrenn capsule insp", "inspect :");
	expect("wrenn help capsule insp", "inspect :");
	expect("help wrenn capsule insp", "inspect :");
	expect("wrenn nosuch ", ":");
	expect("wrenn capsule nosuch --", ":");
	expect("wrenn -", "--help :");
	expect("wrenn capsule inspect ", ":");
}

/* ---- options ---- */

static void test_options(void **state)
{
	(void)state;
	expect("--ver", "--version :");
	expect("ls --ver", ":");
	expect("ls --sta", "--state :");
	expect_offer("ls -", "-q");
	expect_offer("ls -", "--quiet");
	assert_false(offers("ls --", "-q"));
	expect_offer("ls demo --", "--output");
	expect_offer("wrenn capsule create --", "--memory-mb");
	expect_offer("wrenn capsule create --", "--input");
	expect_offer("wrenn capsule create --", "--host");
	expect_offer("freestyle vm create --", "--spec.snapshot-id");
	expect_offer("freestyle vm create --", "--recreate");
	expect("freestyle vm create --no-rec", "--no-recreate :");
}

static void test_values(void **state)
{
	(void)state;
	expect("-o ", "table json yaml :");
	expect("-o js", "json :");
	expect("-ojs", "-ojson :");
	expect("-o=js", "-o=json :");
	expect("--output=", "--output=table --output=json --output=yaml :");
	expect("ls --state ", "creating running pausing paused resuming stopping stopped starting deleting pooled :");
	expect("ls --state=ru", "--state=running :");
	expect("ls -qo y", "yaml :");
	expect_offer("ls -q -", "--state");
	expect_offer("ls -q -", "-o");
	expect("create --name -", ":"); /* whatever comes is the name */
	expect("create --name --env ", ":");
	expect("create --image ", "base :");
	expect("create --image=b", "--image=base :");
	expect("create --snapshot ", "warm :");
	expect("wrenn capsule stats --range 3", "30d :");
	expect("wrenn capsule stats --range=3", "--range=30d :");
	expect("wrenn channel create --provider dis", "discord :");
	expect("wrenn channel create --event capsule.cr", "capsule.created :");
	expect("freestyle vm create --recreate=", "--recreate=true --recreate=false :");
	expect("freestyle vm create --recreate ", ":");
	expect("wrenn capsule create --null vc", "vcpus :");
}

static void test_files(void **state)
{
	(void)state;
	expect("api POST /x --input ", ":files");
	expect("api POST /x --input=a/b", ":files prefix=8");
	expect("wrenn capsule create --input ", ":files");
	expect("wrenn file write X --file ", ":files");
	expect("wrenn file write X --file @a", ":files prefix=1");
	expect("wrenn file write X --file=@a", ":files prefix=8");
	expect("wrenn auth signup --password-file ", ":files");
	expect("exec demo --workdir ", ":"); /* a folder of the sandbox */
}

/* ---- arguments ---- */

static void test_arguments(void **state)
{
	(void)state;
	expect("exec ", "demo other :");
	expect("exec -it -e A=1 d", "demo :");
	expect("rm demo o", "other :");
	expect("rm -- o", "other :");
	expect("rm -- -", ":");
	expect("pause ", "demo :");
	expect("resume ", "ice :");
	expect("start ", "other :");
	expect("fork ", "demo ice :");
	expect("snapshot create ", "demo ice :");
	expect("snapshot inspect ", "warm :");
	expect("stop -f demo ", "demo ice :");
	expect("logs demo ", ":");    /* it takes one */
	expect("delete d", "demo :"); /* by its alias */
	expect("image build ", "base :");
	expect("key rm ", "ci :");
	expect("cp ", "demo: :files");
	expect("cp a b ", ":");
	expect("api P", "POST PUT PATCH :");
	expect("api POST P", ":");
	expect("completion f", "fish :");
	expect("ls ", ":");
}

static void test_remote_commands(void **state)
{
	(void)state;
	expect("exec demo ", ":commands");
	expect_offer("exec demo -", "--workdir"); /* options go on until the command begins */
	expect_offer("exec demo -", "--host");
	expect("exec demo -- ", ":commands");
	expect("exec demo -- -", ":commands");
	expect("exec demo ls -", ":files");
	expect("exec demo -- ls ", ":files");
	expect("exec -- de", "demo :");
	expect("run ", ":commands");
	expect("run --memory 512 -- cat ", ":files");
	expect("pty d", "demo :");
}

static void test_where_to_ask(void **state)
{
	(void)state;
	expect("--host h exec ", "at-h :");
	expect("exec --host=h ", "at-h :");
	expect("exec --host h -i ", "at-h :");
}

static void test_odd_words(void **state)
{
	(void)state;
	expect_offer("--", "--version");
	assert_false(offers("--", "-h"));
	expect("-- wr", "wrenn :");
	expect_offer("-", "--api-key");
	expect_offer("-", "-h");
	expect("--nosuch wr", "wrenn :");
	expect("--nosuch=", ":");
	expect("ls -z ", ":");
	expect("ls --= ", ":");
	expect("wrenn capsule create --=", ":");
	auto_free char *none = NULL;
	struct cli cli = { .out = BUF_INIT };
	auto_buf out = BUF_INIT;
	complete_words(&cli, 0, NULL, live, &out);
	none = buf_take(&out, NULL);
	assert_non_null(strstr(none, "create\t"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_contracts),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_remote_commands),
		cmocka_unit_test(test_where_to_ask),
		cmocka_unit_test(test_odd_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
