/* text: an errno as our messages have it. */
#ifndef SBX_GUEST_TEXT_H
#define SBX_GUEST_TEXT_H

#define TEXT_ERRNO_MAX 128

/* "no such file or directory": strerror with its first letter small, in out. Returns out. */
const char *text_errno(int sys, char out[TEXT_ERRNO_MAX]);

#endif
