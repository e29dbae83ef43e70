# SPDX-License-Identifier: MIT
# A memory aid over CMake and a few scripts: `make help` lists the targets. Everything that a target needs
# and the machine lacks is installed or built first; a second run finds it all there.

MAKEFLAGS += --no-print-directory

BUILD    ?= build
GATEWAYS ?= 3
PORT     ?= 8080
SUITES   ?=
REPEATS  ?= 3
N        ?= 10000
ROWS     ?=
SEED     ?= 1
SEEDS    ?= 1

# `make CC=clang` reaches CMake; make's own default, cc, leaves the choice to CMake.
ifneq ($(origin CC),default)
COMPILER := -DCMAKE_C_COMPILER=$(CC)
endif
CONFIGURE = cmake -S . -B $(1) $(COMPILER) $(2) >/dev/null
# `$(call BENCH,MODE)`: what a benchmark needs is built, then it runs.
BENCH     = $(call CONFIGURE,$(BUILD),) && cmake --build $(BUILD) --target parley floor -j$(JOBS) && \
            tests/bench/run --build $(BUILD) $(1)
JOBS     := $(shell nproc 2>/dev/null || echo 2)

build: ## build/parley, the gateway (this is what plain `make` does)
	@deploy/setup.sh build
	@$(call CONFIGURE,$(BUILD),)
	@cmake --build $(BUILD) --target parley -j$(JOBS)

run: ## a whole cluster on this machine: Redis, gateways, HAProxy (GATEWAYS=3 PORT=8080)
	@deploy/setup.sh build run
	@$(MAKE) build
	@exec deploy/local/cluster --build $(BUILD) --gateways $(GATEWAYS) --port $(PORT)

dev: ## the same, and a changed source file is rebuilt and its gateways restarted
	@deploy/setup.sh build run
	@$(MAKE) build
	@exec deploy/local/cluster --build $(BUILD) --gateways $(GATEWAYS) --port $(PORT) --watch

test: ## everything that must hold before a commit, under ten minutes (SUITES="unit e2e" picks some)
	@deploy/setup.sh build run test
	@exec tests/run $(SUITES)

test-all: ## the same and the long ones
	@deploy/setup.sh build run test
	@exec tests/run --long $(SUITES)

chaos: ## faults under load, half an hour; writes tests/chaos/README.md (ROWS=F2 SEEDS=50 SEED=1: these, no table)
	@deploy/setup.sh build run test
	@$(MAKE) build
	@tests/chaos/run --build $(BUILD) --seed $(SEED) --seeds $(SEEDS) \
	    $(if $(ROWS),--only $(ROWS),--report tests/chaos/README.md)

asan: ## build/asan/parley: with the address and undefined-behaviour sanitizers
	@deploy/setup.sh build
	@$(call CONFIGURE,$(BUILD)/asan,-DSANITIZE=address$(comma)undefined)
	@cmake --build $(BUILD)/asan --target parley -j$(JOBS)

bench: ## Parley beside its peers and two floors, about 20 minutes; writes tests/bench/RESULTS.md (REPEATS=3)
	@deploy/setup.sh build run bench
	@$(call BENCH,full --repeats $(REPEATS))

bench-quick: ## Parley and the floors alone, in a minute
	@deploy/setup.sh build run
	@$(call BENCH,quick)

bench-drops: ## links that are cut for two seconds again and again; writes tests/bench/DROPS.md
	@deploy/setup.sh build run bench
	@$(call BENCH,drops)

bench-idle: ## N=10000 connections that say nothing; writes tests/bench/IDLE.md
	@deploy/setup.sh build run
	@$(call BENCH,idle --connections $(N))

bench-workers: ## several workers, unix sockets behind HAProxy, fairness; writes tests/bench/WORKERS.md (REPEATS=3)
	@deploy/setup.sh build run
	@$(call BENCH,workers --repeats $(REPEATS))

lint: ## the static checks alone: layers, format, tidy, style, shell and proxy configuration
	@deploy/setup.sh build run test
	@exec tests/run lint tidy

format: ## rewrite the C files as .clang-format says
	@tests/lint/files.sh c | xargs clang-format -i

docs: build ## refresh what is generated in the documents: settings reference, the source tour's picture
	@$(BUILD)/parley configdoc --markdown | tests/lint/fresh.sh --write deploy/README.md settings
	@tests/lint/layers.sh --picture | tests/lint/fresh.sh --write gateway/README.md layers

install: build ## install the program, the web client and the systemd unit (DESTDIR=, PREFIX=/usr/local)
	@$(call CONFIGURE,$(BUILD),$(if $(PREFIX),-DCMAKE_INSTALL_PREFIX=$(PREFIX)))
	@cmake --build $(BUILD) --target parley -j$(JOBS)
	@cmake --install $(BUILD)

clean: ## remove what was built (the cached libraries stay)
	@rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1	/p' Makefile | expand -t 12

comma := ,
.DEFAULT_GOAL := build
.PHONY: build run dev test test-all chaos asan bench bench-quick bench-drops bench-idle bench-workers lint format docs install clean help
