#include "daemon/guest/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *text_errno(int sys, char out[TEXT_ERRNO_MAX])
{
	snprintf(out, TEXT_ERRNO_MAX, "%s", strerror(sys));
	if (isupper((unsigned char)out[0]) && !isupper((unsigned char)out[1]))
		out[0] = (char)tolower((unsigned char)out[0]);
	return out;
}
