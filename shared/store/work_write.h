/* Writing one file of a checkout. Private to work_checkout.c and work_write.c. */
#ifndef SBX_STORE_WORK_WRITE_H
#define SBX_STORE_WORK_WRITE_H

#include <fcntl.h>

#include "shared/store/work_internal.h"

/* Make sure that names in a folder that was there before can be changed; its mode is put right at the end. */
int write_open_up(struct dir *d, int fd, struct err *err);
/* Is the item still what the scan saw? */
bool write_still_there(int fd, const struct item *it);
/* A file, symlink or special that stands in the node. d is open. */
int write_small(struct dir *d, struct item *it, const struct entry *e, struct err *err);
/* A job that writes a file of chunks, then tells write_done. */
struct pool_job *write_big_new(struct dir *d, uint32_t item, const struct entry *e);
/* One thing of d is done. */
void write_done(struct dir *d);

#endif
