/*
 * build_main: `sbxd --build`: makes an image and its template in a process of its own, blocking, and reports on stdout in
 * the lines that core/builder.h reads.
 */
#ifndef SBX_BUILD_MAIN_H
#define SBX_BUILD_MAIN_H

#include "daemon/args.h"

/* Exit status for main. */
int build_main(const struct daemon_args *args);

#endif
