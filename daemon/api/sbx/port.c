#include "daemon/core/port.h"

#include <stdlib.h>

#include "daemon/api/sbx/handlers.h"
#include "daemon/api/sbx/sbx.h"
#include "shared/base/mem.h"
#include "shared/base/util.h"

static void write_port(struct jw *w, const struct port_info *p)
{
	static const char *const states[] = { [PORT_OPEN] = "open", [PORT_CLOSED] = "closed", [PORT_FAILED] = "failed" };
	auto_free char *address = port_address(p);
	jw_obj(w);
	jw_kint(w, "hostPort", p->host_port);
	jw_kint(w, "guestPort", p->guest_port);
	jw_kstr(w, "bind", p->bind);
	jw_kstr(w, "address", address);
	jw_kstr(w, "state", states[p->state]);
	jw_kstr(w, "reason", p->reason);
	jw_kint(w, "connections", p->connections);
	jw_obj_end(w);
}

void api_write_ports(struct jw *w, const struct sandbox *sb)
{
	struct port_info p;
	jw_key(w, "ports");
	jw_arr(w);
	for (size_t i = 0; port_at(sb, i, &p); i++)
		write_port(w, &p);
	jw_arr_end(w);
}

static struct port_spec read_spec(struct http_req *r, const js *item)
{
	int64_t host_port = 0, guest_port = 0;
	js_int(js_get(item, "hostPort"), &host_port);
	js_int(js_get(item, "guestPort"), &guest_port);
	return (struct port_spec){ .bind = js_str(js_get(item, "bind"), NULL),
		.host_port = (uint16_t)host_port,
		.guest_port = (uint16_t)guest_port,
		.anywhere = http_is_local(r) };
}

struct port_spec *api_ports(struct http_req *r, const js *list, size_t *n)
{
	*n = 0;
	struct port_spec *specs = mem_array(js_count(list) + 1, sizeof(*specs));
	js_each (item, list)
		specs[(*n)++] = read_spec(r, item);
	return specs;
}

void sbx_listPorts(struct http_req *r)
{
	const struct sandbox *sb = api_sandbox(r);
	if (!sb)
		return;
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	api_write_ports(&w, sb);
	jw_obj_end(&w);
	http_reply_json(r, 200, &out);
}

void sbx_addPort(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	if (!sb)
		return;
	struct port_spec spec = read_spec(r, http_body(r));
	struct port_info added;
	struct err err = ERR_INIT;
	if (port_add(sb, &spec, &added, &err)) {
		http_reply_err(r, &err);
		return;
	}
	auto_buf out = BUF_INIT;
	struct jw w;
	jw_init(&w, &out);
	write_port(&w, &added);
	http_reply_json(r, 201, &out);
}

void sbx_removePort(struct http_req *r)
{
	struct sandbox *sb = api_sandbox(r);
	int64_t port = 0;
	struct err err = ERR_INIT;
	if (!sb)
		return;
	if (parse_int(http_param(r, "port"), "port", 1, 65535, &port, &err) || port_remove(sb, (uint16_t)port, &err))
		http_reply_err(r, &err);
	else
		http_reply_empty(r, 204);
}
