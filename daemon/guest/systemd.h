/*
 * systemd: an image that has it gets it as PID 1, with the agent as one of its services. All that it is told is below /run, so
 * that the image stays as it is.
 */
#ifndef SBX_GUEST_SYSTEMD_H
#define SBX_GUEST_SYSTEMD_H

#include <stdbool.h>

#define SYSTEMD_PROGRAM "/lib/systemd/systemd"

/* Does the root file system have it, and would start it? */
bool systemd_is_there(void);
/* Write the agent's unit and what keeps a microVM from hanging and from waking up. 0 or -1 with errno. */
int systemd_prepare(void);

#endif
