#include "cli/commands.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/util.h"

const struct command *const commands[] = {
	&cmd_create,
	&cmd_run,
	&cmd_exec,
	&cmd_pty,
	&cmd_ls,
	&cmd_inspect,
	&cmd_cp,
	&cmd_rm,
	&cmd_pause,
	&cmd_resume,
	&cmd_stop,
	&cmd_start,
	&cmd_fork,
	&cmd_resize,
	&cmd_snapshot_create,
	&cmd_snapshot_ls,
	&cmd_snapshot_inspect,
	&cmd_snapshot_rm,
	&cmd_snapshot_export,
	&cmd_snapshot_import,
	&cmd_snapshot_copy,
	&cmd_logs,
	&cmd_port_add,
	&cmd_port_ls,
	&cmd_port_rm,
	&cmd_port_url,
	&cmd_stats,
	&cmd_watch,
	&cmd_image_ls,
	&cmd_image_build,
	&cmd_image_inspect,
	&cmd_image_import,
	&cmd_image_pull,
	&cmd_image_tag,
	&cmd_image_rm,
	&cmd_image_commit,
	&cmd_login,
	&cmd_logout,
	&cmd_whoami,
	&cmd_team_ls,
	&cmd_team_create,
	&cmd_team_inspect,
	&cmd_team_rename,
	&cmd_team_rm,
	&cmd_team_use,
	&cmd_team_member,
	&cmd_key_create,
	&cmd_key_ls,
	&cmd_key_rm,
	&cmd_channel_ls,
	&cmd_channel_add,
	&cmd_channel_inspect,
	&cmd_channel_update,
	&cmd_channel_config,
	&cmd_channel_rm,
	&cmd_channel_test,
	&cmd_audit,
	&cmd_host_ls,
	&cmd_host_add,
	&cmd_host_inspect,
	&cmd_host_rm,
	&cmd_host_token,
	&cmd_host_tag,
	&cmd_context_add,
	&cmd_context_use,
	&cmd_context_ls,
	&cmd_context_inspect,
	&cmd_context_rm,
	&cmd_config_view,
	&cmd_config_path,
	&cmd_dial_stdio,
	&cmd_api,
	&cmd_fs_push,
	&cmd_fs_checkout,
	&cmd_fs_status,
	&cmd_fs_ls,
	&cmd_fs_cat,
	&cmd_fs_stat,
	&cmd_fs_show,
	&cmd_fs_diff,
	&cmd_fs_merge,
	&cmd_fs_reset,
	&cmd_fs_log,
	&cmd_fs_label,
	&cmd_fs_export,
	&cmd_fs_import,
	&cmd_fs_clone,
	&cmd_fs_fetch,
	&cmd_fs_fsck,
	&cmd_fs_gc,
	&cmd_fs_stats,
	&cmd_up,
	&cmd_down,
	&cmd_doctor,
	&cmd_completion,
	&cmd_version,
};

const size_t command_count = ARRAY_LEN(commands);

const struct opt front_options[] = {
	{ .kind = OPT_BOOL, .name = "version", .help = "show the version", .off = offsetof(struct globals, version) },
	{ .kind = OPT_END },
};

bool command_in_group(const struct command *c, const char *group)
{
	return str_same(c->group, group);
}

bool command_is_group(const char *word)
{
	for (size_t i = 0; i < command_count; i++) {
		if (str_same(commands[i]->group, word))
			return true;
	}
	return false;
}

const struct command *command_find(const char *group, const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = commands[i];
		bool in_group = group ? str_same(c->group, group) : !c->group;
		if (in_group && (str_same(c->name, name) || str_same(c->alias, name)))
			return c;
	}
	return NULL;
}

bool command_is_first(size_t i)
{
	for (size_t k = 0; commands[i]->group && k < i; k++) {
		if (str_same(commands[k]->group, commands[i]->group))
			return false;
	}
	return !commands[i]->hidden;
}
