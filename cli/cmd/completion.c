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
	.about = "For this shell:  bash: source <(sbx completion bash)\n"
		 "                 zsh:  source <(sbx completion zsh)      (after compinit)\n"
		 "                 fish: sbx completion fish | source\n"
		 "For every shell, put that line into ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish. 'make install' needs none of it:\n"
		 "it puts the scripts where the shells look for them.",
	.example = "  source <(sbx completion bash)\n  sbx completion fish > ~/.config/fish/completions/sbx.fish",
	.min_args = 1,
	.max_args = 1,
	.command_after = NO_COMMAND,
	.args = ARG_SHELL,
	.run = run,
};
