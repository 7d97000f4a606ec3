# What is made for people: the shells' completions inside sbx, and the manual.

# Each script becomes a C string.
COMPLETIONS := bash:completions/sbx.bash zsh:completions/_sbx fish:completions/sbx.fish

$(GEN)/completions.h: completions/sbx.bash completions/_sbx completions/sbx.fish mk/man.mk
	@mkdir -p $(@D)
	$(call say,GEN,$@){ for pair in $(COMPLETIONS); do \
	  echo "static const char completion_$${pair%%:*}[] ="; \
	  sed 's/\\/\\\\/g; s/"/\\"/g; s/	/\\t/g; s/.*/"&\\n"/' "$${pair#*:}"; echo ';'; done; } > $@.new && mv $@.new $@

$(OBJ)/cli/cmd/completion.o: | $(GEN)/completions.h

# ---- the manual: one run writes all pages, dated as the last commit ----
MAN := $(BUILD)/man
MAN_PARTS := $(sort $(wildcard man/*.mdoc))
man_date = $(or $(shell git log -1 --format=%cd --date=format:'%B %-d, %Y' 2>/dev/null),January 1, 2026)

.PHONY: man
man: $(MAN)/.made ## Write the manual into build/man

$(BIN)/sbxman: $(call obj,$(SBXMAN_SRC)) $(GENO)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(LDFLAGS) -Wl,--gc-sections $^ -lcjson $(ARCHIVE_LIBS) -l:libyaml.a -lpthread -lm -o $@

$(MAN)/.made: $(BIN)/sbxman $(MAN_PARTS)
	$(call say,MAN,$(MAN))rm -rf $(MAN); $(BIN)/sbxman man $(MAN) '$(man_date)' && touch $@
