#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/render/text.h"
#include "cli/render/value.h"
#include "shared/base/mem.h"

const struct config *cli_config(struct cli *cli, struct err *err)
{
	if (!cli->config)
		cli->config = config_load(err);
	return cli->config;
}

struct choice cli_choice(const struct cli *cli)
{
	const struct globals *g = &cli->globals;
	return (struct choice){ .host = g->host, .context = g->context, .api_key = g->api_key, .output = g->output };
}

int cli_endpoint(struct cli *cli, struct err *err)
{
	if (cli->endpoint_known)
		return 0;
	struct choice choice = cli_choice(cli);
	const struct config *config = cli_config(cli, err);
	if (!config)
		return -1;
	if (where_resolve(&choice, config, &cli->secret, &cli->endpoint, err)) {
		endpoint_free(&cli->endpoint);
		return -1;
	}
	cli->endpoint_known = true;
	return 0;
}

int cli_client(struct cli *cli, struct client *c, struct err *err)
{
	client_init(c, &cli->endpoint);
	return cli_endpoint(cli, err);
}

js *cli_ask(struct cli *cli, const struct call *call, struct err *err)
{
	struct client c;
	if (cli_client(cli, &c, err))
		return NULL;
	js *v = client_json(&c, call, err);
	client_close(&c);
	return v;
}

/* Somebody else may have made the stream non-blocking. */
static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EAGAIN) {
			struct pollfd wait = { .fd = fd, .events = POLLOUT };
			(void)poll(&wait, 1, -1); /* write tells what is wrong */
			continue;
		}
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int cli_flush(struct cli *cli, struct err *err)
{
	if (buf_failed(&cli->out))
		return err_set(err, ERR_LIMIT, "out of memory");
	int rc = write_all(STDOUT_FILENO, cli->out.p, cli->out.len);
	int sys = errno;
	buf_clear(&cli->out);
	return rc ? err_sys(err, sys, "cannot write to standard output") : 0;
}

static void put_prefix(const struct cli *cli, struct buf *line)
{
	buf_str(line, "sbx");
	for (size_t i = 0; i < ARRAY_LEN(cli->words); i++)
		if (cli->words[i])
			buf_fmt(line, " %s", cli->words[i]);
	buf_str(line, ": ");
}

int cli_set_format(struct cli *cli, struct err *err)
{
	static const char *const names[] = { [FORMAT_TABLE] = "table", [FORMAT_JSON] = "json", [FORMAT_YAML] = "yaml" };
	struct choice choice = cli_choice(cli);
	struct err broken = ERR_INIT;
	bool optional = cli->command && cli->command->config_optional;
	bool decided = choice.output || setting_env("SBX_OUTPUT");
	if (!decided && !cli_config(cli, &broken) && !optional) {
		*err = broken;
		return -1;
	}
	struct setting s = setting_output(&choice, cli->config);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cli->format = (enum format)i;
		if (strcmp(names[i], s.value) == 0)
			return 0;
	}
	return err_set(err, ERR_USAGE, "SBX_OUTPUT must be table, json or yaml, not '%.40s'", s.value);
}

static void put_line(const struct buf *line)
{
	/* where standard error is closed there is nobody to tell */
	(void)write_all(STDERR_FILENO, line->p, line->len);
}

void cli_warn(const struct cli *cli, const char *fmt, ...)
{
	auto_buf text = BUF_INIT, line = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vfmt(&text, fmt, ap);
	va_end(ap);
	put_prefix(cli, &line);
	text_safe(&line, text.p);
	buf_ch(&line, '\n');
	put_line(&line);
}

void cli_error(const struct cli *cli, const struct err *err)
{
	auto_buf line = BUF_INIT;
	put_prefix(cli, &line);
	text_safe(&line, err->msg);
	buf_ch(&line, '\n');
	if (*err->hint) {
		buf_str(&line, "  ");
		text_safe(&line, err->hint);
		buf_ch(&line, '\n');
	}
	put_line(&line);
}

void cli_document(struct cli *cli, const js *v)
{
	if (cli->format == FORMAT_JSON)
		render_json(&cli->out, v);
	else if (cli->format == FORMAT_YAML)
		render_yaml(&cli->out, v);
}

int cli_confirm(const char *question, const char *hint, struct err *err)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		err_set(err, ERR_STATE, "cannot ask whether to %s: standard input is no terminal", question);
		return err_hint(err, "%s", hint);
	}
	auto_buf line = BUF_INIT;
	buf_fmt(&line, "%s? [y/N] ", question);
	put_line(&line);
	char answer[16];
	ssize_t n = read(STDIN_FILENO, answer, sizeof(answer));
	return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

void cli_signal_set(sigset_t *set)
{
	struct sigaction hup;
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGQUIT);
	if (sigaction(SIGHUP, NULL, &hup) || hup.sa_handler != SIG_IGN)
		sigaddset(set, SIGHUP);
}

int cli_signal_fd(struct err *err)
{
	sigset_t set;
	cli_signal_set(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_sys(err, errno, "cannot block signals");
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_sys(err, errno, "cannot watch signals") : fd;
}

int cli_signal_code(int fd)
{
	struct signalfd_siginfo info;
	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? 128 + (int)info.ssi_signo : 128 + SIGINT;
}
