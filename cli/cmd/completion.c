#include <string.h>

#include "cli/cli.h"
#include "completions.h"
#include "shared/base/mem.h"

static const struct {
	const char *shell, *script;
} scripts[] = {
	{ "bash", completion_bash },
	{ "zsh", completion_zsh },
	{ "fish", completion_fish },
};

static int run(struct cli *cli, const void *opts, const struct args *args, struct err *err)
{
	(void)opts;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		if (strcmp(scripts[i].shell, args->v[0]) == 0) {
			buf_str(&cli->out, scripts[i].script);
			return 0;
		}
	}
	err_set(err, ERR_USAGE, "there is no completion for '%s'", args->v[0]);
	return err_hint(err, "one of bash, zsh, fish");
}

const struct command cmd_completion = {
	.name = "completion",
	.summary = "Print the completion script of a shell",
	.usage = "bash|zsh|fish",
	.about = "Give it to the shell that is to complete: the examples are for bash, zsh (after compinit) and fish. For every "
		 "new shell,\n"
		 "put the line into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish. After 'make install' none of it is needed: "
		 "the scripts\n"
		 "are where the shells look for them.",
	.example = "  source <(sbx completion bash)\n  source <(sbx completion zsh)\n  sbx completion fish | source",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SHELL,
	.run = run,
};
