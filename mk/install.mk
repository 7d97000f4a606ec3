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

.PHONY: install uninstall
install: all ## Install below PREFIX (/usr/local), under DESTDIR
	install -d $(LIBDIR) $(BINDIR)
	install -m 0755 $(PROGRAMS) $(LIBDIR)/
	ln -sf ../lib/sbx/sbx $(BINDIR)/sbx
	ln -sf ../lib/sbx/sbxd $(BINDIR)/sbxd

uninstall: ## Remove what install put there
	rm -f $(addprefix $(LIBDIR)/,$(notdir $(PROGRAMS))) $(BINDIR)/sbx $(BINDIR)/sbxd
	-rmdir $(LIBDIR) 2>/dev/null
