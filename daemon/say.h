/*
 * say: how a child of the daemon that makes images tells it what it does, in lines on standard output: "phase\ttext"; of a failure
 * at last "error\tcode\tmessage\thint"; "result\ttext" where there is one.
 */
#ifndef SBX_SAY_H
#define SBX_SAY_H

#include "shared/base/err.h"

/* An image_progress; arg is not used. */
void say_progress(void *arg, const char *phase, const char *text);
/* Returns 1, the exit code. */
int say_error(const struct err *err);

#endif
