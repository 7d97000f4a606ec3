# Tests, lint, bench.
#
# A C test says on its first line what it is linked with beyond shared/base: `/* link: a/b.c c/*.c | -lfoo */`.

UNIT_SRC := $(sort $(wildcard tests/unit/t_*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/f_*.c))
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
FUZZ_SECONDS ?= 4
JOBS ?= 2

# A make of its own for each sanitizer: the tree follows from SANITIZE. Fuzzers need clang; gcc and clang-tidy have
# already judged the warnings, and clang 14 does not know all our hardening flags.
SUBMAKE := +@$(MAKE) --no-print-directory
SAN := SANITIZE=address,undefined
FUZZ := CC=clang SANITIZE=fuzzer-no-link,address,undefined WARN=-w HARDEN=
SAN_BUILD := build/san-address-undefined
FUZZ_BUILD := build/san-fuzzer-no-link-address-undefined

# The parts of a test's first line: its sources with globs resolved, and its libraries.
link_line = $(shell sed -n '1s,^/\* link:\(.*\)\*/.*,\1,p' $(1))
link_src = $(foreach f,$(shell echo '$(call link_line,$(1))' | cut -d'|' -f1),$(if $(findstring *,$(f)),$(wildcard $(f)),$(f)))
link_lib = $(shell echo '$(call link_line,$(1))' | cut -s -d'|' -f2)
# Generated sources are named as build/gen/X.c, wherever the tree of this build is.
link_obj = $(sort $(patsubst $(OBJ)/build/gen/%,$(OBJ)/gen/%,$(call obj,$(call link_src,$(1)) $(BASE))))

$(call obj,$(UNIT_SRC) $(FUZZ_SRC) $(CONTRACT)): | $(GENH)
# The compiler does not know that cmocka's asserts do not come back.
$(call obj,$(sort $(wildcard tests/unit/*.c))): CFLAGS += -Wno-null-dereference

.SECONDEXPANSION:
$(UNIT_BIN): $(BUILD)/tests/%: $(OBJ)/tests/unit/%.o $$(call link_obj,tests/unit/$$*.c)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) $^ $(call link_lib,tests/unit/$*.c) -lcmocka -lcjson -lm -o $@

$(FUZZ_BIN): $(BUILD)/fuzz/%: $(OBJ)/tests/fuzz/%.o $$(call link_obj,tests/fuzz/$$*.c)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -fsanitize=fuzzer,address,undefined $^ $(call link_lib,tests/fuzz/$*.c) -lcjson -lm -o $@

.PHONY: unit-build fuzz-build unit unit-san fuzz e2e e2e-san fault conformance check
unit-build: $(UNIT_BIN)
fuzz-build: $(FUZZ_BIN)

unit: ## Unit tests
	+@tests/run.py unit
unit-san: ## Unit tests under the address and undefined-behaviour sanitizers
	+@tests/run.py unit-san
fuzz: ## Every fuzz target for FUZZ_SECONDS (4)
	+@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run.py fuzz
e2e: ## End to end tests with real microVMs
	+@tests/run.py e2e
e2e-san: ## The same with sanitized programs (not part of check)
	+@tests/run.py e2e-san
fault: ## Crash tests: daemon and client killed at many points
	+@tests/run.py fault
conformance: all ## Ask the daemon for every operation of every contract; print how many it has, and which not
	@tests/conformance/walk.py --table
check: deps-check ## All tests; the last line counts them
	+@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run.py all unit unit-san fuzz e2e fault conformance

# What tests/run.py builds before it runs a suite.
.PHONY: build-all build-unit build-unit-san build-fuzz build-e2e build-e2e-san build-fault build-conformance
build-all: all
build-unit: unit-build
build-unit-san:
	$(SUBMAKE) $(SAN) unit-build
build-fuzz:
	$(SUBMAKE) $(FUZZ) fuzz-build
build-e2e-san:
	$(SUBMAKE) $(SAN) all
build-e2e build-fault build-conformance: all

# Small programs that measure one thing; linked as tests are.
MICRO_SRC := $(sort $(wildcard tests/bench/micro_*.c))
MICRO_BIN := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(MICRO_SRC))
$(call obj,$(MICRO_SRC)): | $(GENH)
$(MICRO_BIN): $(BUILD)/bench/%: $(OBJ)/tests/bench/%.o $$(call link_obj,tests/bench/$$*.c)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) $^ $(call link_lib,tests/bench/$*.c) -lcjson -lm -o $@

.PHONY: bench
bench: all $(MICRO_BIN) ## Measure, beside the peers that are installed (see deps-bench), in one table
	@tests/bench/bench.py

# ---- lint ----
LINT_C := $(sort $(call src,cli cli/api cli/build cli/man cli/cmd cli/fs cli/render cli/term cli/endpoint daemon daemon/core daemon/vm daemon/image daemon/notify daemon/net daemon/oauth daemon/db daemon/http daemon/hosts daemon/proxy \
	daemon/api $(patsubst %/,%,$(sort $(wildcard daemon/api/*/))) daemon/netd daemon/guest shared/base shared/wire shared/contract shared/yaml shared/gen shared/net shared/store))
LINT_H := $(sort $(shell find cli daemon shared -name '*.h'))
LINT_SH := $(sort $(shell grep -rlE '^#!/(usr/)?bin/(env )?(ba)?sh' mk tests .ci $(wildcard daemon/image completions examples) 2>/dev/null)) \
	$(sort $(wildcard tests/*/*.bats tests/*/*.bash completions/*.bash)) .ci/run
TIDY := $(patsubst %.c,build/lint/%.tidy,$(LINT_C))
HEAD := $(patsubst %.h,build/lint/%.head,$(LINT_H))

.PHONY: lint lint-tidy lint-headers lint-cppcheck lint-shell lint-layers lint-rules lint-man
lint: deps-check ## clang-tidy, cppcheck, shellcheck, mandoc, include layers, house rules
	+@$(MAKE) --no-print-directory -k -j$(JOBS) lint-layers lint-rules lint-shell lint-man lint-headers lint-cppcheck lint-tidy
lint-tidy: $(TIDY)
lint-headers: $(HEAD)

# The object is a prerequisite because it knows the headers: a file is looked at again when one of them changed.
# gcc's own flags are unknown to clang-tidy: it gets the plain ones.
$(TIDY): build/lint/%.tidy: $(OBJ)/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$*.c)clang-tidy --quiet --warnings-as-errors='*' $*.c -- -std=gnu17 $(CPPFLAGS) -DSBX_VERSION='""' -Wall -Wextra \
	  > $@.out 2>/dev/null && mv $@.out $@ || { cat $@.out; false; }

# A header compiles alone and twice.
$(HEAD): build/lint/%.head: %.h | $(GENH)
	@mkdir -p $(@D)
	$(call say,HEAD,$<)printf '#include "%s"\n#include "%s"\n' $< $< | \
	  $(CC) $(CPPFLAGS) -std=gnu17 $(WARN) -fsyntax-only -MD -MP -MT $@ -MF $@.d -x c - && touch $@

lint-cppcheck: | $(GENH)
	@mkdir -p build/lint/cppcheck
	$(call say,CHECK,cppcheck)cppcheck -j$(JOBS) --std=c11 --quiet --enable=warning,performance,portability --inline-suppr \
	  --error-exitcode=1 --cppcheck-build-dir=build/lint/cppcheck --suppress=missingInclude --include=/usr/include/x86_64-linux-gnu/sys/queue.h -D_GNU_SOURCE -D__x86_64__ -I. -I$(GEN) \
	  --template='{file}:{line}: {severity}: {message} [{id}]' $(LINT_C)

lint-shell:
	$(call say,SHELL,scripts)shellcheck -x $(LINT_SH)

lint-man: man
	$(call say,MAN,pages)mandoc -T lint $(MAN)/man?/*

lint-layers:
	$(call say,LAYER,includes)tests/lint/layers.py

lint-rules:
	$(call say,RULES,house-rules)tests/lint/rules.py

.PHONY: format
format: ## Format all C sources in place
	clang-format -i $(LINT_C) $(LINT_H) $(UNIT_SRC) $(FUZZ_SRC)

-include $(shell find build/lint -name '*.head.d' 2>/dev/null)
