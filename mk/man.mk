# What is made for people: the shells' completions inside sbx, and the manual.

# Each script becomes a C string.
COMPLETIONS := bash:completions/sbx.bash zsh:completions/_sbx fish:completions/sbx.fish

$(GEN)/completions.h: completions/sbx.bash completions/_sbx completions/sbx.fish mk/man.mk
	@mkdir -p $(@D)
	$(call say,GEN,$@){ for pair in $(COMPLETIONS); do \
	  echo "static const char completion_$${pair%%:*}[] ="; \
	  sed 's/\\/\\\\/g; s/"/\\"/g; s/	/\\t/g; s/.*/"&\\n"/' "$${pair#*:}"; echo ';'; done; } > $@.new && mv $@.new $@

$(OBJ)/cli/cmd/completion.o: | $(GEN)/completions.h
