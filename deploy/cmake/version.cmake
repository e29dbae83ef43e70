# SPDX-License-Identifier: MIT
# Runs at every build and rewrites common/version.h only when its content changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
    OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR revision STREQUAL "")
  set(revision "unknown")
endif()
set(text "/* Generated at build time. */
#ifndef COMMON_VERSION_H
#define COMMON_VERSION_H

#define PARLEY_VERSION \"${VERSION}\"
#define PARLEY_REVISION \"${revision}\"

/* Where `make install` puts the web client. */
#define PARLEY_STATIC_DIR \"${STATIC_DIR}\"

#endif
")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
