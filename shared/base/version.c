#include "shared/base/version.h"

const char sbx_version[] = SBX_VERSION;
