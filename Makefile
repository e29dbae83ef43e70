# SPDX-License-Identifier: MIT
# A memory aid over CMake and a few scripts: `make help` lists the targets. Everything that a target needs
# and the machine lacks is installed or built first; a second run finds it all there.

MAKEFLAGS += --no-print-directory

BUILD    ?= build
GATEWAYS ?= 3
PORT     ?= 8080
SUITES   ?=

# `make CC=clang` reaches CMake; make's own default, cc, leaves the choice to CMake.
ifneq ($(origin CC),default)
COMPILER := -DCMAKE_C_COMPILER=$(CC)
endif
CONFIGURE = cmake -S . -B $(1) $(COMPILER) $(2) >/dev/null
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

asan: ## build/asan/parley: with the address and undefined-behaviour sanitizers
	@deploy/setup.sh build
	@$(call CONFIGURE,$(BUILD)/asan,-DSANITIZE=address$(comma)undefined)
	@cmake --build $(BUILD)/asan --target parley -j$(JOBS)

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
.PHONY: build run dev test test-all asan lint format docs install clean help
