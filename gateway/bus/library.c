/* SPDX-License-Identifier: MIT */
#include "gateway/bus/bus.h"

#include <hiredis/hiredis.h>

#define TEXT_OF(number) #number
#define DOTTED(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *bus_library_version(void)
{
    return DOTTED(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}
