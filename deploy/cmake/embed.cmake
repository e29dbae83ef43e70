# SPDX-License-Identifier: MIT
# cmake -DINPUT=f.lua -DNAME=f_lua -DOUTPUT=path/without/suffix -P embed.cmake
# Writes OUTPUT.h and OUTPUT.c, which hold the file as `const char NAME[]` (NUL-terminated) and `NAME_len`,
# without the lines that are comments: the text is sent to Redis, and stands on one line in its monitor.
file(READ ${INPUT} text)
string(REGEX REPLACE "\n[ ]*--[^\n]*" "" text "${text}")
string(REGEX REPLACE "\n\n+" "\n" text "${text}")
string(HEX "${text}" hex)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
# Sixteen bytes a line keep compilers' messages, and editors, comfortable.
string(REGEX REPLACE "((......,)(......,)(......,)(......,)(......,)(......,)(......,)(......,))" "\\1\n" bytes "${bytes}")
get_filename_component(source ${INPUT} NAME)
string(TOUPPER ${NAME} guard)
file(WRITE ${OUTPUT}.h "/* Generated from ${source}. */
#ifndef GENERATED_${guard}_H
#define GENERATED_${guard}_H

#include <stddef.h>

extern const char ${NAME}[]; /* NUL-terminated */
extern const size_t ${NAME}_len; /* without that NUL */

#endif
")
get_filename_component(header ${OUTPUT}.h NAME)
file(WRITE ${OUTPUT}.c "/* Generated from ${source}. */
#include \"${header}\"

const char ${NAME}[] = {
${bytes}'\\0'};
const size_t ${NAME}_len = sizeof(${NAME}) - 1;
")
