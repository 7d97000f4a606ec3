#include "daemon/db/schema.h"

#include "shared/base/mem.h"

/* clang-format off */
const char *const schema_steps[] = {
	"CREATE TABLE sandbox (id TEXT PRIMARY KEY, name TEXT UNIQUE, image TEXT NOT NULL, template_key TEXT, state TEXT NOT NULL,"
	" reason TEXT, accel TEXT, env BLOB NOT NULL, labels BLOB NOT NULL, vcpus INT NOT NULL, memory_mb INT NOT NULL,"
	" timeout_s INT NOT NULL, net INT NOT NULL, account INT NOT NULL, created_ms INT NOT NULL, expires_ms INT NOT NULL,"
	" pid INT NOT NULL, start_time INT NOT NULL, create_us INT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE api_key (id TEXT PRIMARY KEY, name TEXT UNIQUE, prefix TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,"
	" account INT NOT NULL, created_ms INT NOT NULL, used_ms INT NOT NULL) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandbox ADD COLUMN mac TEXT; ALTER TABLE sandbox ADD COLUMN parent TEXT;"
	"ALTER TABLE sandbox ADD COLUMN layers BLOB NOT NULL DEFAULT x'';"
	"ALTER TABLE sandbox ADD COLUMN run_vcpus INT NOT NULL DEFAULT 0;"
	"ALTER TABLE sandbox ADD COLUMN run_memory_mb INT NOT NULL DEFAULT 0;"
	"ALTER TABLE sandbox ADD COLUMN booted INT NOT NULL DEFAULT 0; ALTER TABLE sandbox ADD COLUMN idle_s INT NOT NULL DEFAULT "
	"0;"
	"ALTER TABLE sandbox ADD COLUMN idled INT NOT NULL DEFAULT 0;",
	"ALTER TABLE sandbox ADD COLUMN net_rules TEXT;"
	"CREATE TABLE port (sandbox TEXT NOT NULL REFERENCES sandbox (id) ON DELETE CASCADE, host_port INT NOT NULL,"
	" guest_port INT NOT NULL, bind TEXT NOT NULL, PRIMARY KEY (sandbox, host_port)) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandbox ADD COLUMN image_digest TEXT;",
	"CREATE TABLE sandbox_fs (sandbox TEXT PRIMARY KEY REFERENCES sandbox(id) ON DELETE CASCADE, path TEXT NOT NULL,"
	" tree TEXT NOT NULL, label TEXT, pushed TEXT) STRICT, WITHOUT ROWID;",
	"ALTER TABLE sandbox ADD COLUMN disk_mb INT NOT NULL DEFAULT 0;",
	/* Accounts: a team is what things belong to, by its number; 0 is the local one, of who has the Unix socket. Names of
	 * sandboxes and of keys are their team's. */
	"CREATE TABLE sandbox_new (id TEXT PRIMARY KEY, name TEXT, image TEXT NOT NULL, template_key TEXT, state TEXT NOT NULL,"
	" reason TEXT, accel TEXT, env BLOB NOT NULL, labels BLOB NOT NULL, vcpus INT NOT NULL, memory_mb INT NOT NULL,"
	" timeout_s INT NOT NULL, net INT NOT NULL, account INT NOT NULL, created_ms INT NOT NULL, expires_ms INT NOT NULL,"
	" pid INT NOT NULL, start_time INT NOT NULL, create_us INT NOT NULL, mac TEXT, parent TEXT, net_rules TEXT,"
	" image_digest TEXT, layers BLOB NOT NULL, run_vcpus INT NOT NULL, run_memory_mb INT NOT NULL, booted INT NOT NULL,"
	" idle_s INT NOT NULL, idled INT NOT NULL, disk_mb INT NOT NULL, template TEXT, started_ms INT NOT NULL DEFAULT 0,"
	" active_ms INT NOT NULL DEFAULT 0, changed_ms INT NOT NULL DEFAULT 0, host INT NOT NULL DEFAULT 0,"
	" UNIQUE (account, name)) STRICT, WITHOUT ROWID;"
	"INSERT INTO sandbox_new SELECT id, name, image, template_key, state, reason, accel, env, labels, vcpus, memory_mb,"
	" timeout_s, net, account, created_ms, expires_ms, pid, start_time, create_us, mac, parent, net_rules,"
	" image_digest, layers,"
	" run_vcpus, run_memory_mb, booted, idle_s, idled, disk_mb, NULL, created_ms, created_ms, created_ms, 0 FROM sandbox;"
	"DROP TABLE sandbox; ALTER TABLE sandbox_new RENAME TO sandbox;"
	/* what is left of those that are over */
	"CREATE TABLE sandbox_past (id TEXT PRIMARY KEY, account INT NOT NULL, name TEXT, image TEXT NOT NULL, template TEXT,"
	" state TEXT NOT NULL, reason TEXT, vcpus INT NOT NULL, memory_mb INT NOT NULL, idle_s INT NOT NULL,"
	" created_ms INT NOT NULL, started_ms INT NOT NULL, active_ms INT NOT NULL, ended_ms INT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE team (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
	" slug TEXT NOT NULL UNIQUE, byoc INT NOT NULL, created_ms INT NOT NULL, deleted_ms INT NOT NULL) STRICT;"
	"INSERT INTO team VALUES (0, 'local', 'local', '000000-000000', 0, 0, 0);"
	"CREATE TABLE user (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE,"
	" name TEXT NOT NULL, password TEXT, admin INT NOT NULL, created_ms INT NOT NULL) STRICT;"
	"INSERT INTO user VALUES (0, 'local', 'local', 'local', NULL, 1, 0);"
	"CREATE TABLE member (team INT NOT NULL REFERENCES team (id), user INT NOT NULL REFERENCES user (id), role TEXT NOT NULL,"
	" is_default INT NOT NULL, joined_ms INT NOT NULL, PRIMARY KEY (team, user)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX member_user ON member (user, joined_ms); INSERT INTO member VALUES (0, 0, 'owner', 1, 0);"
	"CREATE VIEW membership AS SELECT m.team, m.user, m.role, m.is_default, m.joined_ms, u.uid AS user_uid,"
	" u.name AS user_name,"
	" u.email AS user_email, u.admin AS user_admin, t.uid AS team_uid, t.name AS team_name,"
	" t.slug AS team_slug, t.byoc AS team_byoc,"
	" t.created_ms AS team_created_ms FROM member m JOIN user u ON u.id = m.user JOIN team t ON t.id = m.team"
	" WHERE t.deleted_ms = 0;"
	"CREATE TABLE login (provider TEXT NOT NULL, subject TEXT NOT NULL, user INT NOT NULL REFERENCES user (id),"
	" PRIMARY KEY (provider, subject)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE key_new (id TEXT PRIMARY KEY, name TEXT, prefix TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,"
	" account INT NOT NULL, created_by INT NOT NULL, created_ms INT NOT NULL, used_ms INT NOT NULL) STRICT, WITHOUT ROWID;"
	"INSERT INTO key_new SELECT id, name, prefix, hash, account, 0, created_ms, used_ms FROM api_key;"
	"DROP TABLE api_key; ALTER TABLE key_new RENAME TO api_key; CREATE INDEX api_key_account ON api_key (account, created_ms);"
	/* who did what, and what a team used */
	"CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, team INT NOT NULL, actor_type TEXT NOT NULL, actor_id TEXT,"
	" actor_name TEXT, resource_type TEXT NOT NULL, resource_id TEXT, action TEXT NOT NULL, scope TEXT NOT NULL,"
	" status TEXT NOT NULL, metadata BLOB NOT NULL, created_ms INT NOT NULL) STRICT;"
	"CREATE INDEX audit_team ON audit (team, created_ms, id);"
	"CREATE TABLE team_use (team INT NOT NULL, at_s INT NOT NULL, running INT NOT NULL, vcpus INT NOT NULL,"
	" memory_mb INT NOT NULL, PRIMARY KEY (team, at_s)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX team_use_at ON team_use (at_s);"
	/* where news go, and those that have not arrived yet */
	"CREATE TABLE channel (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE,"
	" team INT NOT NULL, name TEXT NOT NULL,"
	" provider TEXT NOT NULL, events BLOB NOT NULL, config TEXT NOT NULL, created_ms INT NOT NULL, changed_ms INT NOT NULL,"
	" UNIQUE (team, name)) STRICT;"
	"CREATE TABLE delivery (id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" channel INT NOT NULL REFERENCES channel (id) ON DELETE CASCADE,"
	" event TEXT NOT NULL, attempts INT NOT NULL, due_ms INT NOT NULL) STRICT;"
	"CREATE INDEX delivery_due ON delivery (due_ms);"
	/* machines that carry sandboxes for us */
	"CREATE TABLE host (id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, type TEXT NOT NULL, team INT NOT NULL,"
	" provider TEXT, zone TEXT, arch TEXT, cpu_cores INT NOT NULL, memory_mb INT NOT NULL, disk_gb INT NOT NULL, address TEXT,"
	" status TEXT NOT NULL, heartbeat_ms INT NOT NULL, created_by INT NOT NULL, created_ms INT NOT NULL,"
	" changed_ms INT NOT NULL,"
	" fingerprint TEXT) STRICT;"
	"CREATE TABLE host_tag (host INT NOT NULL REFERENCES host (id) ON DELETE CASCADE, tag TEXT NOT NULL,"
	" PRIMARY KEY (host, tag))"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE host_token (hash TEXT PRIMARY KEY, host INT NOT NULL REFERENCES host (id) ON DELETE CASCADE,"
	" expires_ms INT NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE host_refresh (hash TEXT PRIMARY KEY, host INT NOT NULL REFERENCES host (id) ON DELETE CASCADE,"
	" family TEXT NOT NULL, expires_ms INT NOT NULL, revoked_ms INT NOT NULL) STRICT, WITHOUT ROWID;",
	/* whose answer was lost may ask the same again; what was frozen on another machine is kept there */
	"ALTER TABLE host_refresh ADD COLUMN request TEXT;"
	"CREATE TABLE host_snapshot (team INT NOT NULL, name TEXT NOT NULL, host INT NOT NULL, tree TEXT NOT NULL, image TEXT,"
	" parent TEXT, accel TEXT, vcpus INT NOT NULL, memory_mb INT NOT NULL, created_ms INT NOT NULL, disk INT NOT NULL,"
	" stored INT NOT NULL,"
	" PRIMARY KEY (team, name)) STRICT, WITHOUT ROWID;"
	/* what it has to forget, if it has it */
	"CREATE TABLE host_leftover (host INT NOT NULL REFERENCES host (id) ON DELETE CASCADE, team INT NOT NULL,"
	" name TEXT NOT NULL, PRIMARY KEY (host, team, name)) STRICT, WITHOUT ROWID;",
};
/* clang-format on */

const size_t schema_count = ARRAY_LEN(schema_steps);
