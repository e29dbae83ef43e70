# SPDX-License-Identifier: MIT
# The libraries the gateway stands on, as targets: lib::event lib::cjson lib::uring lib::ssl lib::zlib lib::websockets lib::hiredis.
# Their headers are system headers, so that our warnings stay our own.
find_package(PkgConfig REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(EVENT REQUIRED IMPORTED_TARGET libevent_core)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(WEBSOCKETS QUIET IMPORTED_TARGET libwebsockets>=4.3.5)
pkg_check_modules(HIREDIS QUIET IMPORTED_TARGET hiredis>=1.2.0)

# A prefix that is named wins; else the system's library where it is new enough; else the cache.
set(PARLEY_DEPS "$ENV{PARLEY_DEPS}" CACHE PATH "Prefix of libwebsockets and hiredis (empty: system, else cache)")
set(prefix "${PARLEY_DEPS}")
if(NOT prefix)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/deploy/setup/libraries.sh where
      OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()

# guest_library(NAME PKG...): lib::NAME from the prefix, or from pkg-config's target PKG.
function(guest_library name pkg)
  add_library(lib_${name} INTERFACE)
  add_library(lib::${name} ALIAS lib_${name})
  set(archive ${prefix}/lib/lib${name}.a)
  if(TARGET PkgConfig::${pkg} AND NOT PARLEY_DEPS)
    target_link_libraries(lib_${name} INTERFACE PkgConfig::${pkg})
  elseif(EXISTS ${archive})
    target_include_directories(lib_${name} SYSTEM INTERFACE ${prefix}/include)
    target_link_libraries(lib_${name} INTERFACE ${archive} ${ARGN})
  else()
    message(FATAL_ERROR "lib${name} is neither in the system nor at ${archive}: run deploy/setup.sh build")
  endif()
endfunction()

guest_library(websockets WEBSOCKETS OpenSSL::Crypto ZLIB::ZLIB m)
guest_library(hiredis HIREDIS)
add_library(lib::event ALIAS PkgConfig::EVENT)
add_library(lib::cjson ALIAS PkgConfig::CJSON)
add_library(lib::uring ALIAS PkgConfig::URING)
add_library(lib::crypto ALIAS OpenSSL::Crypto)
add_library(lib::zlib ALIAS ZLIB::ZLIB)
