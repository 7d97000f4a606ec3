/* import_main: the process `sbxd --import SCRATCH` or `sbxd --pull SCRATCH`, which makes an image of the library and tells how far
 * it is in lines on standard output (say.h); the result is the image's digest. */
#ifndef SBX_IMPORT_MAIN_H
#define SBX_IMPORT_MAIN_H

#include "daemon/args.h"

/* Standard input is the archive; for a pull it is the request (see core/importer.c). Returns the exit code. */
int import_main(const struct daemon_args *args);

#endif
