/* SPDX-License-Identifier: MIT */
/* bench: the command `parley bench`, a load generator and checker for room servers. README.md
 * beside this file says what it measures and what a server must speak. */
#ifndef CLIENT_CLI_BENCH_H
#define CLIENT_CLI_BENCH_H

/* argv[0] is the command's own name. Returns the exit code. */
int bench_main(int argc, char **argv);

#endif
