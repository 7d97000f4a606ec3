#include "cli/term/raw.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "shared/base/mem.h"

static struct {
	int fd;
	volatile sig_atomic_t on;
	bool hooked;
	struct termios saved, raw;
} term;

static const int deadly[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

static void on_deadly(int signo)
{
	raw_leave();
	/* the handler was reset on entry: this ends the process */
	raise(signo);
}

static int hook(struct err *err)
{
	if (term.hooked)
		return 0;
	if (atexit(raw_leave))
		return err_set(err, ERR_INTERNAL, "cannot register an exit handler");
	struct sigaction sa = { .sa_handler = on_deadly, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		if (sigaction(deadly[i], &sa, NULL))
			return err_sys(err, errno, "cannot handle signals");
	term.hooked = true;
	return 0;
}

/* tcsetattr from the background would stop the process: keep SIGTTOU away for the call. */
static int set_mode(const struct termios *mode)
{
	sigset_t ttou, old;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &old);
	int rc = tcsetattr(term.fd, TCSADRAIN, mode);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int raw_enter(int fd, struct err *err)
{
	if (term.on)
		return 0;
	if (hook(err))
		return -1;
	if (tcgetattr(fd, &term.saved))
		return err_sys(err, errno, "cannot read the terminal's settings");
	term.raw = term.saved;
	cfmakeraw(&term.raw);
	term.fd = fd;
	term.on = 1;
	if (set_mode(&term.raw) == 0)
		return 0;
	term.on = 0;
	return err_sys(err, errno, "cannot set the terminal to raw mode");
}

void raw_again(void)
{
	if (term.on)
		(void)set_mode(&term.raw); /* the terminal may be gone: then nothing is to be done */
}

void raw_leave(void)
{
	if (!term.on)
		return;
	term.on = 0;
	(void)set_mode(&term.saved); /* the terminal may be gone */
}

int term_size(int fd, unsigned *cols, unsigned *rows)
{
	struct winsize ws;
	if (ioctl(fd, TIOCGWINSZ, &ws) || ws.ws_col == 0 || ws.ws_row == 0)
		return -1;
	*cols = ws.ws_col > 1000 ? 1000 : ws.ws_col;
	*rows = ws.ws_row > 1000 ? 1000 : ws.ws_row;
	return 0;
}
