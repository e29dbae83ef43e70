# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034
# What is built where the system's libwebsockets or hiredis is too old. The cache folder is named after this
# file's content, so any change here builds anew and leaves older caches alone.

lws_min=4.3.5
lws_version=4.3.5
lws_sha256=87f99ad32803ed325fceac5327aae1f5c1b417d54ee61ad36cffc8df5f5ab276

hiredis_min=1.2.0
hiredis_version=1.2.0
hiredis_sha256=82ad632d31ee05da13b537c124f819eb88e18851d9cb0c30ae0552084811588c

# The Debian release whose source packages hold these two versions.
source_suite=trixie

# A server with plain HTTP/1.1 and extensions, and nothing else: the event loop is ours (event_lib_custom),
# HTTP/2 would turn raw writes into broken frames, and capabilities are dropped by systemd, not by us. TLS ends
# at the proxy; each connection would carry 112 bytes for it and for UDP.
lws_options="
-DLWS_WITH_STATIC=ON -DLWS_WITH_SHARED=OFF -DLWS_WITHOUT_TESTAPPS=ON -DLWS_WITHOUT_CLIENT=ON
-DLWS_WITHOUT_EXTENSIONS=OFF -DLWS_WITH_ZLIB=ON -DLWS_IPV6=ON -DLWS_UNIX_SOCK=ON -DLWS_WITH_SSL=OFF
-DLWS_WITH_LIBEVENT=OFF -DLWS_WITH_EVLIB_PLUGINS=OFF -DLWS_WITH_HTTP2=OFF -DLWS_WITH_LEJP=OFF
-DLWS_WITH_LEJP_CONF=OFF -DLWS_WITH_CONMON=OFF -DLWS_WITH_NETLINK=OFF -DLWS_WITH_SYS_SMD=OFF
-DLWS_WITH_DIR=OFF -DLWS_WITH_UDP=OFF -DLWS_LOG_TAG_LIFECYCLE=OFF -DCMAKE_EXPORT_NO_PACKAGE_REGISTRY=ON -DLWS_HAVE_LIBCAP=OFF -DDISABLE_WERROR=ON
"
hiredis_options="-DBUILD_SHARED_LIBS=OFF -DDISABLE_TESTS=ON -DENABLE_SSL=ON"
