# The guest agent: static, since the guest has no libraries; size matters more than speed (it is in every VM's memory).
# Never sanitized: it runs inside the guest. Its modules are tested under the sanitizers on the host.
AGENT_OBJ := build/obj-agent
AGENT_CFLAGS := -std=gnu17 -Os -g1 $(WARN) -Wno-null-dereference -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-pie \
	-ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=.
# What the agent needs of shared/: no JSON reader, no host paths.
AGENT_ALL := $(filter-out shared/base/json_read.c,$(AGENT_SRC))

$(AGENT_OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,'$< (agent)')$(CC) $(CPPFLAGS) $(AGENT_CFLAGS) -DSBX_VERSION='"$(VERSION)"' -MMD -MP -c $< -o $@

$(AGENT_OBJ)/shared/base/version.o: build/version

$(BIN)/sbx-agent: $(patsubst %.c,$(AGENT_OBJ)/%.o,$(AGENT_ALL))
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -static -no-pie -Wl,--gc-sections -Wl,-z,relro,-z,now $^ -l:libarchive.a -lacl -lzstd -lz -lm -o $@.tmp && \
	  objcopy --only-keep-debug $@.tmp $@.debug && strip $@.tmp && mv $@.tmp $@

-include $(shell find $(AGENT_OBJ) -name '*.d' 2>/dev/null)
