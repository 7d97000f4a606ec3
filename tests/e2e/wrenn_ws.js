#!/usr/bin/env node
// Wrenn's WebSockets as seen by a client that is not ours: Debian's node-ws. NODE_PATH has to name /usr/share/nodejs.
//
// usage: wrenn_ws.js BASE_URL TOKEN CAPSULE SCENARIO...    (the names of the scenarios stand at the end)
//
// Says `ok SCENARIO` for each, or what was wrong; exit 1 then.
'use strict';

const crypto = require('crypto');
const WebSocket = require('ws');

const [base, token, capsule, ...names] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const at = (path) => `/v1/capsules/${capsule}${path}`;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const base64 = (text) => Buffer.from(text).toString('base64');
const sh = (script) => ({ type: 'start', cmd: 'sh', args: ['-c', script] });
const INTACT = 'the output is not what was printed';

function same(got, want, what) {
	if (JSON.stringify(got) !== JSON.stringify(want))
		throw new Error(`${what}: got ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
}

// A client: its frames in order, and what they hold, decoded.
class Client {
	constructor(path, options = { headers }) {
		this.frames = [];
		this.text = { stdout: '', stderr: '', output: Buffer.alloc(0) };
		this.closed = false;
		this.wake = () => {};
		this.ws = new WebSocket(base.replace(/^http/, 'ws') + at(path), options);
		this.ws.on('message', (data) => this.take(JSON.parse(data.toString())));
		this.ws.on('close', () => { this.closed = true; this.wake(); });
		this.opened = new Promise((done, failed) => {
			this.ws.on('open', done);
			this.ws.on('unexpected-response', (request, response) => failed(new Error(`HTTP ${response.statusCode}`)));
			this.ws.on('error', failed);
		});
	}

	take(m) {
		if (m.type === 'output')
			this.text.output = Buffer.concat([this.text.output, Buffer.from(m.data, 'base64')]);
		else if (m.type in this.text)
			this.text[m.type] += m.data;
		this.frames.push(m);
		this.wake();
	}

	// Until test(this) holds; what it gave.
	async until(test, what, ms = 20000) {
		const end = Date.now() + ms;
		for (;;) {
			const got = test(this);
			if (got)
				return got;
			if (Date.now() >= end)
				throw new Error(`no ${what} within ${ms} ms; the last frames: ${JSON.stringify(this.frames.slice(-4)).slice(0, 600)}`);
			await new Promise((done) => {
				this.wake = done;
				setTimeout(done, end - Date.now());
			});
		}
	}

	frame(type, ms) { return this.until(() => this.frames.find((m) => m.type === type), `frame '${type}'`, ms); }
	shows(text) { return this.until(() => this.text.output.includes(text), `'${text}' on the terminal`); }
	ended(ms) { return this.until(() => this.closed, 'end of the connection', ms); }
	send(m) { this.ws.send(JSON.stringify(m)); }
	keys(text) { this.send({ type: 'input', data: base64(text) }); }
	types() { return this.frames.map((m) => m.type); }
}

async function open(path, first, options) {
	const c = new Client(path, options);
	await c.opened;
	if (first)
		c.send(first);
	return c;
}

async function pty(more = {}) {
	const c = await open('/pty', { type: 'start', cmd: '/bin/sh', ...more });
	Object.assign(c, await c.frame('started'));
	return c;
}

async function http(method, path, body) {
	const answer = await fetch(base + at(path), { method, headers, body: body && JSON.stringify(body) });
	const text = await answer.text();
	return { status: answer.status, body: text ? JSON.parse(text) : null };
}

async function listed() {
	return (await http('GET', '/processes')).body.processes;
}

async function exists(path) {
	for (let i = 0; i < 100; i++) {
		if ((await http('POST', '/exec', { cmd: 'test', args: ['-e', path] })).body.exit_code === 0)
			return;
		await pause(100);
	}
	throw new Error(`no ${path} in the capsule`);
}

const hash = (data) => crypto.createHash('md5').update(data).digest('hex');

const scenarios = {
	// Megabytes to a client that does not read for a while: nothing is lost, nothing comes twice.
	async stream_whole() {
		await http('POST', '/exec', { cmd: 'sh', args: ['-c', 'head -c 2000000 /dev/urandom | base64 > /tmp/whole'] });
		const c = await open('/exec/stream', sh('cat /tmp/whole; md5sum < /tmp/whole >&2'));
		await c.frame('stdout');
		c.ws._socket.pause();
		await pause(1000);
		c.ws._socket.resume();
		await c.ended(30000);
		same(c.text.stderr.slice(0, 32), hash(c.text.stdout), INTACT);
		same([c.types()[0], c.frames.at(-1)], ['start', { type: 'exit', exit_code: 0 }], 'frames');
	},

	async stream_utf8() {
		const script = "printf 'a\\303'; sleep 0.3; printf '\\251\\360\\237'; sleep 0.3; printf '\\230\\200\\377b\\342\\202'";
		const c = await open('/exec/stream', sh(script));
		await c.ended();
		same(c.text.stdout, 'aé\u{1f600}\ufffdb\ufffd\ufffd', 'characters that come in parts');
	},

	async stream_stop() {
		const c = await open('/exec/stream', sh('sleep 1; touch /tmp/stopped; exec sleep 600'));
		const { pid } = await c.frame('start');
		c.send({ type: 'stop' });
		await c.ended();
		same(c.types().includes('exit'), false, 'an exit after the stop');
		await exists('/tmp/stopped');
		same((await listed()).some((p) => p.pid === pid), true, 'it goes on');
		same((await http('DELETE', `/processes/${pid}`)).status, 204, 'kill by pid');
	},

	// A process that nobody listens to must not stand still on a full pipe.
	async stream_left() {
		const c = await open('/exec/stream', sh('head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; touch /tmp/left'));
		await c.frame('start');
		c.ws.terminate();
		await exists('/tmp/left');
	},

	async stream_wrong() {
		for (const first of [{ type: 'stop' }, { type: 'start' }, { type: 'start', cmd: '' }, []]) {
			const c = await open('/exec/stream', first);
			await c.ended();
			same(c.frames, [{ type: 'error', data: "first message must be type 'start' with a 'cmd' field" }], 'frames');
		}
		const c = await open('/exec/stream', { type: 'start', cmd: 'no-such' });
		await c.ended();
		same([c.types(), c.frames[0].pid > 1, c.frames[2].exit_code], [['start', 'stderr', 'exit'], true, 127], 'an unknown program');
	},

	// A command in the background, seen by two at once.
	async process_attach() {
		const script = 'while [ ! -e /tmp/end ]; do echo on; sleep 0.1; done; exit 9';
		const made = await http('POST', '/exec', { cmd: 'sh', args: ['-c', script], background: true, tag: 'beat' });
		same([made.status, made.body.tag], [202, 'beat'], 'background');
		same((await listed()).filter((p) => p.tag === 'beat'), [{ pid: made.body.pid, tag: 'beat', cmd: 'sh', args: ['-c', script] }], 'list');
		const both = await Promise.all(['beat', made.body.pid].map((selector) => open(`/processes/${selector}/stream`)));
		for (const c of both) {
			same((await c.frame('start')).pid, made.body.pid, 'pid');
			await c.frame('stdout');
		}
		await http('POST', '/exec', { cmd: 'touch', args: ['/tmp/end'] });
		for (const c of both) {
			await c.ended();
			same([c.frames.at(-1), c.text.stdout.replace(/(on\n)+/, '')], [{ type: 'exit', exit_code: 9 }, ''], 'the end');
		}
		const gone = await open('/processes/beat/stream').then(() => 'opened', (e) => e.message);
		same([gone, (await http('DELETE', '/processes/beat')).status], ['HTTP 404', 404], 'one that is over');
	},

	async pty_shell() {
		const c = await open('/pty', { type: 'start' });
		const started = await c.frame('started');
		same([/^pty-[0-9a-f]{8}$/.test(started.tag), started.pid > 1], [true, true], 'started');
		for (const bad of ['%%%', 'eA', 7, null])
			c.send({ type: 'input', data: bad });
		c.keys('stty size; echo $((6*7))-$TERM; pwd\r');
		await c.shows('42-xterm-256color\r\n/root\r\n');
		same(c.text.output.includes('24 80\r\n'), true, 'the size at first');
		c.send({ type: 'resize', cols: 0, rows: 50 });
		c.send({ type: 'resize', cols: 120, rows: 40 });
		c.keys('stty size\r');
		await c.shows('40 120\r\n');
		c.send({ type: 'kill' });
		same((await c.frame('exit')).exit_code, -1, 'killed');
		for (let i = 0; i < 5; i++) {
			c.keys('late\r');
			await pause(200);
		}
		same([c.closed, c.types().at(-1)], [false, 'exit'], 'open after the exit');
		c.ws.close();
		await c.ended();
	},

	async pty_reconnect() {
		const first = await pty({ args: ['-c', 'echo before; while read x; do echo got:$x; done; exit 6'] });
		await first.shows('before');
		first.ws.terminate();
		const both = await Promise.all([0, 1].map(() => open('/pty', { type: 'connect', tag: first.tag })));
		both[0].keys('one\r');
		both[1].keys('two\r');
		for (const c of both) {
			await c.shows('got:one');
			await c.shows('got:two');
			same([c.text.output.includes('before'), c.types().includes('started')], [false, false], 'from now on');
		}
		both[0].keys('\x04');
		for (const c of both)
			same((await c.frame('exit')).exit_code, 6, 'the end');
		for (const tag of [first.tag, 'pty-00000000', 'no/such'])
			await (await open('/pty', { type: 'connect', tag })).until((c) => c.closed && c.frames[0].fatal, 'fatal error');
		both.forEach((c) => c.ws.close());
	},

	async pty_refused() {
		const c = await open('/pty', { type: 'start', cwd: '/no/such' });
		await c.ended();
		same([c.types(), c.frames[0].fatal, /no such/.test(c.frames[0].data)], [['error'], true, true], 'no folder');
		const other = await pty({ cmd: 'no-such' });
		await other.frame('exit');
		same([other.types(), other.frames.at(-1).exit_code], [['started', 'output', 'exit'], 127], 'no program');
		other.ws.close();
	},

	// A paste that is larger than all the queues on its way, into a program that is slow to read it.
	async pty_paste() {
		const n = 1500000, text = crypto.randomBytes(n * 0.75).toString('base64').slice(0, n);
		const c = await pty({ args: ['-c', `stty raw -echo; echo ready; sleep 1; head -c ${n} | md5sum`] });
		await c.shows('ready');
		for (let i = 0; i < n; i += 50000)
			c.keys(text.slice(i, i + 50000));
		await c.frame('exit', 40000);
		same(c.text.output.toString().match(/[0-9a-f]{32}/)[0], hash(text), 'what was pasted');
		c.ws.close();
	},

	async pty_ping() {
		const c = await pty({ cmd: 'sleep', args: ['600'] });
		same(await c.frame('ping', 40000), { type: 'ping' }, 'ping');
		c.send({ type: 'kill' });
		await c.frame('exit');
		c.ws.close();
	},

	async query_token() {
		for (const path of ['/exec/stream', '/pty']) {
			(await open(`${path}?token=${token}`, null, {})).ws.close();
			for (const bad of ['', '?token=', '?token=no-such'])
				same(await open(path + bad, null, {}).then(() => 'opened', (e) => e.message), 'HTTP 401', `${path}${bad}`);
		}
	},

	// So many sockets that say nothing.
	async idle() {
		const all = await Promise.all(Array.from({ length: 500 }, () => open('/pty')));
		await new Promise((done) => process.stdin.once('data', done).resume());
		all.forEach((c) => c.ws.terminate());
		process.stdin.pause();
	},
};

async function main() {
	let failed = false;
	for (const name of names) {
		try {
			await scenarios[name]();
			console.log(`ok ${name}`);
		} catch (e) {
			failed = true;
			console.log(`not ok ${name}: ${e.message}`);
		}
	}
	process.exit(failed ? 1 : 0);
}

main();
