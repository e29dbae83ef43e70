# SPDX-License-Identifier: MIT
# One interface target, `flags`, that every layer and every test links: language, warnings, hardening, sanitizers.
include(CheckCCompilerFlag)
include(CheckPIESupported)

option(WERROR "Treat warnings as errors" ON)
option(HARDEN "Compile and link with the hardening flags" ON)
set(SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
check_pie_supported(LANGUAGES C)
# assert() states our contracts and stays on in every build type.
foreach(type RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${type} "${CMAKE_C_FLAGS_${type}}")
endforeach()

add_library(flags INTERFACE)
# accept4, memmem, getrandom and their like are GNU's; the language itself stays plain C11.
target_compile_definitions(flags INTERFACE _GNU_SOURCE)
target_include_directories(flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wcast-qual -Wformat=2 -Wundef -Wvla -Wconversion $<$<BOOL:${WERROR}>:-Werror>)

if(SANITIZE)
  target_compile_options(flags INTERFACE -fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(flags INTERFACE -fsanitize=${SANITIZE})
elseif(HARDEN)
  # Each flag where this compiler and this processor know it.
  foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
      -ftrivial-auto-var-init=zero -fno-strict-overflow)
    string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
    set(CMAKE_REQUIRED_FLAGS -Werror)
    check_c_compiler_flag(${flag} ${known})
    if(${known})
      target_compile_options(flags INTERFACE ${flag})
    endif()
  endforeach()
  unset(CMAKE_REQUIRED_FLAGS)
  # Fortified calls need the optimizer.
  target_compile_options(flags INTERFACE
      $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
  target_link_options(flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
endif()
