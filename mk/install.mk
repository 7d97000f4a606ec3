# deps, quickstart, install.

.PHONY: deps deps-check deps-bench
deps: ## Install the Debian packages to build and run (CHECK=1: to test, too)
	@mk/deps.sh $(PACKAGES) $(if $(CHECK),$(PACKAGES_CHECK))

deps-check: ## Install the Debian packages to build, run, test and lint
	@mk/deps.sh $(PACKAGES) $(PACKAGES_CHECK)

deps-bench: ## Install the peers that `make bench` measures beside us
	@mk/deps.sh $(PACKAGES) $(PACKAGES_CHECK) $(PACKAGES_BENCH)

# The packages must be there before the first compilation: hence the second make.
.PHONY: quickstart
quickstart: deps ## Install what is missing, build, and run a command in a microVM
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@mk/quickstart.sh $(CURDIR)/$(BIN)

# The programs find each other in the folder of their own executable, so they stand together; bin/ has links to two of them.
LIBDIR := $(DESTDIR)$(PREFIX)/lib/sbx
BINDIR := $(DESTDIR)$(PREFIX)/bin

MANDIR ?= $(PREFIX)/share/man
COMPLETION_BASH := $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sbx
COMPLETION_ZSH := $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sbx
COMPLETION_FISH := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sbx.fish

.PHONY: install uninstall
install: all ## Install below PREFIX (/usr/local), under DESTDIR; the manual into MANDIR (PREFIX/share/man)
	install -d $(LIBDIR) $(BINDIR)
	install -m 0755 $(PROGRAMS) $(LIBDIR)/
	ln -sf ../lib/sbx/sbx $(BINDIR)/sbx
	ln -sf ../lib/sbx/sbxd $(BINDIR)/sbxd
	for section in 1 5 8; do \
	  install -d $(DESTDIR)$(MANDIR)/man$$section && \
	  install -m 0644 $(MAN)/man$$section/*.$$section $(DESTDIR)$(MANDIR)/man$$section/ || exit; \
	done
	install -D -m 0644 completions/sbx.bash $(COMPLETION_BASH)
	install -D -m 0644 completions/_sbx $(COMPLETION_ZSH)
	install -D -m 0644 completions/sbx.fish $(COMPLETION_FISH)

# Pages by pattern, so that those of an older version go, too: their names are ours.
uninstall: ## Remove what install put there
	rm -f $(addprefix $(LIBDIR)/,$(notdir $(PROGRAMS))) $(BINDIR)/sbx $(BINDIR)/sbxd
	rm -f $(addprefix $(DESTDIR)$(MANDIR)/,man1/sbx.1 man1/sbx-*.1 man5/sbx.yaml.5 man5/sbx-store.5 man8/sbxd.8)
	rm -f $(COMPLETION_BASH) $(COMPLETION_ZSH) $(COMPLETION_FISH)
	-rmdir $(LIBDIR) 2>/dev/null
