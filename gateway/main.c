/* SPDX-License-Identifier: MIT */
/* main: the command line. Each command is one row of a table; `serve` is in gateway/serve.h. */
#include "client/cli/bench.h"
#include "common/version.h"
#include "gateway/bus/bus.h"
#include "gateway/config.h"
#include "gateway/edge/server.h"
#include "gateway/serve.h"
#include "gateway/suggest.h"
#include "gateway/workers.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

/* 0, EX_UNAVAILABLE (69) and EX_CONFIG (78) are the others; EX_USAGE is 64, but shells expect 2. */
#define EXIT_USAGE 2

enum option {
    OPTION_CONFIG = 1,
    OPTION_SETTINGS = 2,
    OPTION_PRINT = 4,
    OPTION_JSON = 8,
    OPTION_MARKDOWN = 16,
};

static const struct {
    const char *name;
    enum option option;
    const char *help;
} options[] = {
    {"--config", OPTION_CONFIG, "-c FILE, --config=FILE    the configuration file"},
    {"--print", OPTION_PRINT, "--print                   show the settings that result"},
    {"--json", OPTION_JSON, "--json                    answer in JSON"},
    {"--markdown", OPTION_MARKDOWN, "--markdown                answer in Markdown"},
};

struct command_line {
    const struct command *command;
    const char *file; /* borrowed; NULL: none */
    unsigned given;   /* of enum option */
    char **settings;  /* owned array of borrowed "--section.key=value" */
    int setting_count;
};

struct command {
    const char *name;
    unsigned allowed; /* of enum option */
    int (*run)(const struct command_line *line);
    int (*main)(int argc, char **argv); /* reads its own options; then run and allowed are unused */
    const char *help;
};

static void report_config(void *ctx, bool is_error, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s%s\n", is_error ? "" : "warning: ", text);
}

static struct config_sources sources_of(const struct command_line *line)
{
    return (struct config_sources){line->file, environ, line->settings, line->setting_count};
}

static bool load_config(struct config *c, const struct command_line *line)
{
    static const struct config_report report = {report_config, NULL};
    const struct config_sources sources = sources_of(line);
    return config_load(c, &sources, &report);
}

static int run_serve(const struct command_line *line)
{
    struct config config;
    const struct config_sources sources = sources_of(line);
    signal(SIGHUP, SIG_IGN); /* until somebody handles it: what is being read is new enough */
    if (!load_config(&config, line)) {
        return EX_CONFIG;
    }
    int code = workers_count(&config) > 1
                   ? workers_run(&config, line->file, line->settings, line->setting_count)
                   : serve(&config, &sources);
    config_free(&config);
    return code;
}

static int run_checkconfig(const struct command_line *line)
{
    struct config config;
    if (!load_config(&config, line)) {
        return EX_CONFIG;
    }
    if (line->given & OPTION_PRINT) {
        config_print(&config);
    } else {
        printf("%s: the configuration is valid\n", line->file != NULL ? line->file : "parley");
    }
    config_free(&config);
    return EXIT_SUCCESS;
}

static int run_configdoc(const struct command_line *line)
{
    (void)line; /* Markdown is the one format there is, asked for or not */
    config_print_reference();
    return EXIT_SUCCESS;
}

static int run_version(const struct command_line *line)
{
    const char *lws = edge_library_version(), *hiredis = bus_library_version();
    if (line->given & OPTION_JSON) {
        printf("{\"version\":\"%s\",\"revision\":\"%s\",\"libwebsockets\":\"%s\","
               "\"hiredis\":\"%s\"}\n",
               PARLEY_VERSION, PARLEY_REVISION, lws, hiredis);
    } else {
        printf("parley %s (%s), libwebsockets %s, hiredis %s\n", PARLEY_VERSION, PARLEY_REVISION,
               lws, hiredis);
    }
    return EXIT_SUCCESS;
}

static int run_help(const struct command_line *line);

enum { SERVE, CHECKCONFIG, CONFIGDOC, BENCH, VERSION, HELP };

static const struct command commands[] = {
    [SERVE] = {"serve", OPTION_CONFIG | OPTION_SETTINGS, run_serve, NULL,
               "serve [-c FILE] [--section.key=value …]\n"
               "      run a gateway; this is what parley does without a command, too"},
    [CHECKCONFIG] = {"checkconfig", OPTION_CONFIG | OPTION_SETTINGS | OPTION_PRINT, run_checkconfig,
                     NULL,
                     "checkconfig [-c FILE] [--print] [--section.key=value …]\n"
                     "      read the configuration as serve does, and report what is wrong"},
    [CONFIGDOC] = {"configdoc", OPTION_MARKDOWN, run_configdoc, NULL,
                   "configdoc --markdown\n"
                   "      the reference of all settings"},
    [BENCH] = {"bench", 0, NULL, bench_main,
               "bench [--help] [--option=value …]\n"
               "      put a room server under load, and check what arrives"},
    [VERSION] = {"version", OPTION_JSON, run_version, NULL,
                 "version [--json]\n"
                 "      the versions of parley and of its libraries"},
    [HELP] = {"help", 0, run_help, NULL,
              "help\n"
              "      this text"},
};

static int run_help(const struct command_line *line)
{
    (void)line;
    printf("parley: a WebSocket gateway for rooms, chat and presence\n\n"
           "Usage: parley [command] [options]\n\nCommands\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        printf("  %s\n", commands[i].help);
    }
    printf("\nOptions\n");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        printf("  %s\n", options[i].help);
    }
    printf(
        "\nSettings, with their defaults. --section.key=value is PARLEY_SECTION_KEY=value in the\n"
        "environment, and key=value under [section] in the file; the first of these that has\n"
        "it wins.\n\n");
    config_print_help();
    printf("\nExit codes\n"
           "  0   ok\n"
           "  1   failure\n"
           "  2   wrong usage\n"
           "  69  something that is needed cannot be had, such as an address in use\n"
           "  78  the configuration is wrong\n");
    return EXIT_SUCCESS;
}

PRINTF_LIKE(1, 2) static bool usage_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("parley: ", stderr);
    vfprintf(stderr, fmt, args);
    fputs("; see parley --help\n", stderr);
    va_end(args);
    return false;
}

static bool take_command(struct command_line *line, const char *name)
{
    struct suggestion suggestion = {.asked = str_from(name)};
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            line->command = &commands[i];
            return true;
        }
        suggest_try(&suggestion, str_from(commands[i].name), commands[i].name);
    }
    if (suggestion.best != NULL) {
        return usage_error("unknown command \"%s\"; did you mean \"%s\"?", name,
                           (const char *)suggestion.best);
    }
    return usage_error("unknown command \"%s\"", name);
}

static bool unknown_option(struct str name)
{
    struct suggestion suggestion = {.asked = name};
    suggest_try(&suggestion, STR("--help"), "--help");
    suggest_try(&suggestion, STR("--version"), "--version");
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        suggest_try(&suggestion, str_from(options[i].name), options[i].name);
    }
    if (suggestion.best != NULL) {
        return usage_error("unknown option \"%.*s\"; did you mean %s?", STR_ARG(name),
                           (const char *)suggestion.best);
    }
    return usage_error("unknown option \"%.*s\"", STR_ARG(name));
}

/* Reads the option at argv[*at]; *at moves past the value that -c takes from the next argument. */
static bool take_option(struct command_line *line, int argc, char **argv, int *at)
{
    char *argument = argv[*at];
    const char *equals = strchr(argument, '=');
    struct str name = {argument, equals != NULL ? (size_t)(equals - argument) : strlen(argument)};
    if (str_starts(name, STR("--")) && memchr(name.ptr, '.', name.len) != NULL) {
        line->settings[line->setting_count++] = argument;
        line->given |= OPTION_SETTINGS;
        return true;
    }
    if (str_equal(name, STR("-c"))) {
        name = STR("--config");
    }
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (!str_equal(name, str_from(options[i].name))) {
            continue;
        }
        line->given |= options[i].option;
        if (options[i].option != OPTION_CONFIG) {
            return equals == NULL || usage_error("%s takes no value", options[i].name);
        }
        line->file = equals != NULL ? equals + 1 : argv[++*at]; /* argv ends with NULL */
        return (*at < argc && *line->file != '\0') || usage_error("%s needs a file", argument);
    }
    return unknown_option(name);
}

/* False: reported. */
static bool read_command_line(struct command_line *line, int argc, char **argv)
{
    int at = 1;
    if (argc > 1 && argv[1][0] != '-') {
        if (!take_command(line, argv[1])) {
            return false;
        }
        at = 2;
    }
    for (; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            line->command = &commands[HELP];
            line->given = 0;
            return true;
        }
        if (strcmp(argv[at], "--version") == 0 && at == 1) {
            line->command = &commands[VERSION];
        } else if (argv[at][0] != '-') {
            return usage_error("unexpected argument \"%s\"", argv[at]);
        } else if (!take_option(line, argc, argv, &at)) {
            return false;
        }
    }
    if (line->given & OPTION_SETTINGS & ~line->command->allowed) {
        return usage_error("%s takes no settings", line->command->name);
    }
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (line->given & options[i].option & ~line->command->allowed) {
            return usage_error("%s has no option %s", line->command->name, options[i].name);
        }
    }
    return true;
}

/* A socket must not become descriptor 0, 1 or 2 because the parent closed that: it would get what
 * is meant for the terminal. */
static bool open_standard_files(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    return fd < 0 || close(fd) == 0;
}

/* What was asked for and could not be written (a full disk, a closed pipe) was not answered. */
static bool flush_answer(void)
{
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

/* The command that was given, when it reads its own options; else NULL. */
static const struct command *own_command(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
        if (commands[i].main != NULL && strcmp(commands[i].name, argv[1]) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct command_line line = {.command = &commands[SERVE]};
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of write, not our end */
    if (!open_standard_files()) {
        return EXIT_FAILURE;
    }
    line.settings = calloc((size_t)argc + 1, sizeof(*line.settings));
    if (line.settings == NULL) {
        return EXIT_FAILURE;
    }
    int code = EXIT_USAGE;
    const struct command *own = own_command(argc, argv);
    if (own != NULL) {
        code = own->main(argc - 1, argv + 1);
    } else if (read_command_line(&line, argc, argv)) {
        code = line.command->run(&line);
    }
    free((void *)line.settings);
    if (!flush_answer() && code == EXIT_SUCCESS) {
        fputs("parley: cannot write to the standard output\n", stderr);
        code = EXIT_FAILURE;
    }
    return code;
}
