# sbx: one Makefile. `make help` lists the targets; everything that is built goes to build/.

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
SHELL := /bin/bash

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
PREFIX ?= /usr/local
DESTDIR ?=
SANITIZE ?=
V ?=

# A sanitized build is a tree of its own, so that both stay incremental.
empty :=
comma := ,
BUILD := build$(if $(SANITIZE),/san-$(subst $(comma),-,$(SANITIZE)))
OBJ := $(BUILD)/obj
GEN := $(BUILD)/gen
BIN := $(BUILD)/bin

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || cat VERSION 2>/dev/null || echo unknown)

# The one list of Debian packages: to build and run (PACKAGES), more for tests and lint (PACKAGES_CHECK), and the peers that bench
# measures (PACKAGES_BENCH; apart because openssh-server starts a server on a normal machine).
PACKAGES := gcc make pkg-config libc6-dev libcrypt-dev libuv1-dev libmicrohttpd-dev libwslay-dev libcjson-dev libyaml-dev \
	libarchive-dev libacl1-dev libzstd-dev zlib1g-dev liblzma-dev libbz2-dev nettle-dev libsqlite3-dev libssl-dev libslirp-dev liblz4-dev \
	libext2fs-dev libcurl4-openssl-dev qemu-system-x86 busybox-static e2fsprogs binutils dpkg apt ca-certificates \
	mmdebstrap debian-archive-keyring tar util-linux
PACKAGES_CHECK := libcmocka-dev bats clang libclang-rt-14-dev clang-tidy clang-format cppcheck shellcheck tmux curl jq iproute2 \
	procps socat util-linux openssl python3 python3-yaml git tar mandoc man-db zsh fish bash-completion qemu-utils \
	docker-registry skopeo apache2-utils erofs-utils zstd nodejs node-ws
PACKAGES_BENCH := crun openssh-server openssh-client nginx-light wrk libllvm15 restic ostree

WARN := -Wall -Wextra -Werror -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum \
	-Wwrite-strings -Wundef -Wdate-time -Wnull-dereference -Wcast-qual -Wpointer-arith -Wno-switch-enum
ifeq ($(findstring clang,$(CC)),)
WARN += -Wduplicated-cond -Wlogical-op -Wimplicit-fallthrough=5 -Wjump-misses-init
endif
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero
ifeq ($(SANITIZE),)
HARDEN += -D_FORTIFY_SOURCE=2
OPT := -O2 -g1
else
OPT := -O1 -g -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-null-dereference
endif
CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -I$(GEN)
CFLAGS := -std=gnu17 $(OPT) $(WARN) $(HARDEN) -fPIE -ffile-prefix-map=$(CURDIR)=.
LDFLAGS := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed $(if $(SANITIZE),-fsanitize=$(SANITIZE))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2);)

# ---- sources, by folder: adding a file needs no edit here ----
src = $(sort $(wildcard $(addsuffix /*.c,$(1))))
obj = $(patsubst %.c,$(OBJ)/%.o,$(1))

BASE := $(call src,shared/base)
WIRE := $(call src,shared/wire)
CONTRACT := $(call src,shared/contract)
NET := $(call src,shared/net)
YAML := $(call src,shared/yaml)
STORE := $(call src,shared/store)
SPECS := $(sort $(wildcard shared/specs/*.yaml))
GENC := $(patsubst shared/specs/%.yaml,$(GEN)/%_contract.c,$(SPECS))
GENH := $(GENC:.c=.h)
GENO := $(patsubst $(GEN)/%.c,$(OBJ)/gen/%.o,$(GENC))

# Static, with what it unpacks by, so that sbx starts fast: gzip, zstd, xz, bzip2 (nettle: its zip knows of encryption).
ARCHIVE_LIBS := -l:libarchive.a -l:libz.a -l:libzstd.a -l:liblzma.a -l:libbz2.a -l:libnettle.a

# For images of others: their layers, and the disks made of them. Static too: only the builder uses them, the daemon starts as before.
IMAGE_LIBS := $(ARCHIVE_LIBS) -l:libext2fs.a -l:libcom_err.a

SBXGEN_SRC := $(call src,shared/gen) $(YAML) $(BASE)
# The daemon's tokens are not the command's: it would have to load OpenSSL, which the linker saves it in an unsanitized build alone.
SBX_NET := $(filter-out shared/net/crypto.c shared/net/jwt.c shared/net/ca.c,$(NET))
SBX_SRC := $(call src,cli cli/api cli/build cli/cmd cli/fs cli/render cli/term cli/endpoint) $(BASE) $(CONTRACT) $(SBX_NET) $(YAML) $(STORE)
SBXD_SRC := $(call src,daemon daemon/core daemon/vm daemon/image daemon/notify daemon/net daemon/oauth daemon/db daemon/http daemon/hosts daemon/proxy daemon/api $(patsubst %/,%,$(sort $(wildcard daemon/api/*/)))) $(BASE) $(WIRE) $(CONTRACT) $(NET) $(STORE)
NETD_SRC := $(call src,daemon/netd) shared/net/egress.c $(BASE)
AGENT_SRC := $(call src,daemon/guest) $(WIRE) $(BASE)

SBXMAN_SRC := $(call src,cli/man) $(filter-out cli/main.c,$(SBX_SRC))

PROGRAMS := $(BIN)/sbx $(BIN)/sbxd $(BIN)/sbx-net $(BIN)/sbx-agent

.PHONY: all
all: $(PROGRAMS) man compile_commands.json ## Build the programs into build/bin, the manual into build/man (default)

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -DSBX_VERSION='"$(VERSION)"' -MMD -MP -c $< -o $@

$(OBJ)/gen/%.o: $(GEN)/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

# The version is compiled into one object only: rebuild just that one when it changes.
$(BUILD)/version: force
	@mkdir -p $(@D); echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
.PHONY: force
force:
$(OBJ)/shared/base/version.o: $(BUILD)/version

$(BIN)/sbxgen: $(call obj,$(SBXGEN_SRC))
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) $^ -lyaml -lcjson -lm -o $@

# One run of the generator writes the .c and the .h of a contract.
$(GEN)/%_contract.c $(GEN)/%_contract.h &: shared/specs/%.yaml $(BIN)/sbxgen
	@mkdir -p $(@D)
	$(call say,GEN,$<)$(BIN)/sbxgen --strict contract $< $(GEN)/$*_contract

# Only these may include generated headers: have them there first. (shared/ must not: sbxgen is made of it.)
$(call obj,$(filter cli/% daemon/%,$(SBX_SRC) $(SBXMAN_SRC) $(SBXD_SRC))): | $(GENH)

$(BIN)/sbx: $(call obj,$(SBX_SRC)) $(GENO)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -Wl,--gc-sections $^ -lcjson $(ARCHIVE_LIBS) -l:libyaml.a -lpthread -lm -o $@

$(BIN)/sbxd: $(call obj,$(SBXD_SRC)) $(GENO)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) $^ -luv -lmicrohttpd -lwslay -lcjson -lsqlite3 -lssl -lcrypto -lcrypt -llz4 -lzstd $(IMAGE_LIBS) -lpthread -lm -o $@

$(BIN)/sbx-net: $(call obj,$(NETD_SRC))
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) $^ -lslirp -lcjson -lm -o $@

include mk/agent.mk
include mk/man.mk
include mk/check.mk
include mk/install.mk

compile_commands.json: Makefile $(wildcard mk/*.mk)
	@sep='['; for f in $(sort $(SBX_SRC) $(SBXMAN_SRC) $(SBXD_SRC) $(NETD_SRC) $(AGENT_SRC) $(call src,shared/gen)); do \
	  printf '%s\n{"directory":"%s","file":"%s","command":"%s -c %s"}' "$$sep" '$(CURDIR)' "$$f" \
	    '$(subst ",\",$(CC) $(CPPFLAGS) $(CFLAGS))' "$$f"; sep=','; done > $@; echo ']' >> $@

.PHONY: clean
clean: ## Remove build/
	rm -rf build compile_commands.json

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)
