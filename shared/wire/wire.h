/*
 * wire: the host <-> guest protocol over one virtio-serial port, as bytes. Pure functions on memory: no I/O, no
 * clock, no allocation but in the receive buffer. Used by daemon/vm/link (host) and daemon/guest (agent).
 *
 * Frame: magic 0xB5, type u8, channel u8, flags u8 (zero), stream u32, length u32, payload, trailer 0x5A. Little endian.
 *        length <= WIRE_PAYLOAD_MAX. A frame is used only when whole and its trailer is right.
 * Streams: the host opens them with ids that only grow (1, 2, ...) within one connection; HELLO starts anew;
 *        0 is the connection itself. A frame for a stream that is not open is ignored. Both ends treat the other as hostile.
 * Sync:  The host starts every connection with WIRE_SYNC_PAD zero bytes and a HELLO (16 random bytes nonce). Zeros can
 *        never be a frame: a half frame left by a previous host is completed by them, found to have a wrong trailer,
 *        and dropped; the receiver then looks for the magic of a HELLO only ("lost") and skips everything else.
 *        On HELLO the agent ends the previous connection (all streams closed as by CLOSE), and answers HELLO with the
 *        same nonce; the host ignores every byte before that answer. (The pad is left out on the first connection to
 *        a fresh VM.)
 * Credit: a side sends DATA on (stream, channel) only while it has credit: WIRE_WINDOW bytes at the start, plus what
 *        CREDIT frames add. The receiver returns credit as it consumes. A peer that overdraws is cut off: the stream
 *        is closed. Control frames need no credit; a side answers at most as many as it is asked.
 * Fairness: the agent takes DATA of its streams in turn, at most WIRE_CHUNK bytes each, keeps less than 64 KiB of
 *        unsent bytes queued, and puts control frames before data of other streams, so that a flood on one stream
 *        delays another by milliseconds only.
 *
 * Life of a stream: host OPEN(record) -> agent STARTED(record) or EXIT with WT_ERRNO -> DATA/EOF/CREDIT/SIGNAL/RESIZE
 *        both ways -> agent EXIT(record), its last frame. (An operation on files is STARTED once the file is there, so an
 *        error before that is an EXIT alone; one later, as a full disk, is an EXIT with WT_ERRNO after STARTED.)
 *        CLOSE from the host ends the stream at once: a plain process group is killed, a session goes on without this
 *        client; no EXIT follows.
 */
#ifndef SBX_WIRE_WIRE_H
#define SBX_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/err.h"

#define WIRE_VERSION 1
#define WIRE_MAGIC 0xB5
#define WIRE_TRAILER 0x5A
#define WIRE_HEADER 12
#define WIRE_PAYLOAD_MAX 65536
#define WIRE_CHUNK 32768
#define WIRE_WINDOW (256 * 1024)
#define WIRE_SYNC_PAD (WIRE_PAYLOAD_MAX + WIRE_HEADER + 1)
#define WIRE_NONCE 16

enum wire_type {
	WIRE_HELLO = 1, /* both: record WT_VERSION, WT_NONCE */
	WIRE_OPEN,	/* host: record, WT_OP first */
	WIRE_STARTED,	/* agent: record */
	WIRE_DATA,	/* both: channel 0 stdin, 1 stdout (or tty), 2 stderr */
	WIRE_EOF,	/* both: channel closed by its writer */
	WIRE_CREDIT,	/* both: u32 bytes more on that channel */
	WIRE_SIGNAL,	/* host: u8 signal number, to the process group */
	WIRE_RESIZE,	/* host: u16 cols, u16 rows */
	WIRE_EXIT,	/* agent: record */
	WIRE_CLOSE,	/* host: no payload */
	WIRE_TYPE_END
};

enum wire_channel { WIRE_STDIN, WIRE_STDOUT, WIRE_STDERR, WIRE_CHANNELS };

/* What OPEN asks for. All paths are guest paths; relative ones start at the user's home. */
enum wire_op {
	WIRE_OP_EXEC = 1,  /* ARG..., ENV..., CWD, USER, TTY, COLS, ROWS, TIMEOUT_MS, SESSION, ATTACH, SINCE, REPLAY, PIPES,
			      NO_INPUT */
	WIRE_OP_SESSIONS,  /* stdout: one JSON array of sessions; EXIT 0 */
	WIRE_OP_KILL,	   /* SESSION, SIGNAL: signal a session's group; a finished one is forgotten */
	WIRE_OP_CONFIGURE, /* after restore: ID, HOSTNAME, SEED, WALL_MS, MAC, IP, GATEWAY, DNS, ENV...; EXIT 0 */
	WIRE_OP_READ,	   /* PATH [OFFSET] [LENGTH]: contents on stdout */
	WIRE_OP_WRITE,	   /* PATH [MODE] [LATE]: stdin to a temporary beside it, then rename at EOF; parents are made; a CLOSE
			      before EOF leaves the old file */
	WIRE_OP_LIST,	   /* PATH [DEPTH] [RESOLVE]: stdout one JSON object a line */
	WIRE_OP_STAT,	   /* PATH [RESOLVE]: stdout one JSON object */
	WIRE_OP_MKDIR,	   /* PATH [MODE] [PARENTS]: EEXIST when there and not PARENTS */
	WIRE_OP_REMOVE,	   /* PATH [RECURSIVE] */
	WIRE_OP_TAR,	   /* PATH [NAME]: pax tar of the file or tree on stdout, its members named NAME/... (default: base name;
			      "." = the contents only) */
	WIRE_OP_UNTAR,	   /* PATH: tar (plain, gz, zst) on stdin unpacked below PATH (made if missing); modes, times, links kept;
			      owners kept with OWNERS=1; nothing leaves PATH */
	WIRE_OP_INFO,	   /* stdout: JSON {hostname, uptimeMs, memTotalKb, memAvailableKb, processes, agentVersion, load} */
	WIRE_OP_SHUTDOWN,  /* end all processes, sync, power off: no EXIT when it works, or 0 when it is only begun */
	WIRE_OP_DIAL,	   /* PORT [HOST, a loopback address]: a TCP connection inside the guest, STARTED when it stands; stdin and
			      stdout are its two directions, EOF ends one of them. EXIT when both have ended, with ERRNO when it
			      was refused or reset; a CLOSE resets it */
	WIRE_OP_WATCH,	   /* PATH [RECURSIVE]: stdout one JSON object {event, path, ...} a change of the file, or in the folder,
			      and RECURSIVE those below, until CLOSE; the first is "ready". EXIT 0 when PATH itself goes */
	WIRE_OP_MOUNT,	   /* PATH: mount the tree on the read-only drive there (made if missing), writable: what is changed is kept
			      apart */
	WIRE_OP_CHANGES,   /* PATH [NAME]: stream of changes.h on stdout: NAME "mount" = what was changed below that mount, else
			      all that is below that folder */
	WIRE_OP_END
};

/* Tags of a record. A record is a sequence of (tag u8, length u16 or, with bit 7 of the tag set, u32; bytes). Integers are
 * 8-byte little endian. Unknown tags are skipped (forward compatible); a malformed record is refused whole. */
enum wire_tag {
	WT_OP = 1,
	WT_VERSION,
	WT_NONCE,
	WT_ARG,
	WT_ENV /* "K=V" */,
	WT_CWD,
	WT_USER,
	WT_TTY,
	WT_COLS,
	WT_ROWS,
	WT_TIMEOUT_MS,
	WT_SESSION,
	WT_ATTACH /* enum wire_attach */,
	WT_SINCE /* replay from this offset of the session's output */,
	WT_SIGNAL,
	WT_PATH,
	WT_OFFSET,
	WT_LENGTH,
	WT_MODE,
	WT_DEPTH,
	WT_PARENTS,
	WT_RECURSIVE,
	WT_NAME,
	WT_OWNERS,
	WT_ID,
	WT_HOSTNAME,
	WT_SEED,
	WT_WALL_MS /* in OPEN: host's clock; the guest steps its own if it is off by > 100 ms */,
	WT_MAC /* "02:00:5e:10:00:01" */,
	WT_IP /* "10.0.2.15/24" or empty for no network */,
	WT_GATEWAY,
	WT_DNS,
	/* STARTED and EXIT */
	WT_PID,
	WT_REPLAY /* bytes of scrollback that come first on stdout (in OPEN: at most so many); WT_OFFSET: their place */,
	WT_CODE /* in every EXIT: 0..255; 128+n by signal n; 124 timeout; 126, 127 not run: DATA and EXIT with PID come without
		 * STARTED */,
	WT_TERMSIG /* signal that ended it, 0 if none */,
	WT_TIMED_OUT,
	WT_ERRNO,
	WT_MESSAGE,
	WT_UTIME_US,
	WT_STIME_US,
	WT_MAXRSS_KB,
	WT_CREATED /* STARTED: 1 when the session is new, 0 when joined */,
	WT_HOST /* DIAL: "127.0.0.1" or "::1"; none: the one, and where nobody listens on it, the other */,
	WT_PORT,
	WT_GROW /* CONFIGURE: 1 = let the root file system fill its disk */,
	WT_LATE /* WRITE: 1 = PATH is only where the data waits; behind it come the file's path and the length of that, a u32 */,
	WT_RESOLVE /* LIST, STAT: 1 = a link also tells where it leads: resolved, resolvedType, resolvedMode */,
	WT_PIPES /* session without a terminal: stdin is empty, stdout and stderr are apart; it waits for its slowest client */,
	WT_NO_INPUT /* stdin is /dev/null, not a pipe */,
	WT_TAG_END
};

/* ONLY: also to one that has ended but was not seen to; RUNNING: not. */
enum wire_attach { WIRE_ATTACH_CREATE, WIRE_ATTACH_OR_CREATE, WIRE_ATTACH_ONLY, WIRE_ATTACH_RUNNING };

struct wire_frame {
	uint8_t type, channel;
	uint32_t stream;
	const uint8_t *payload; /* valid until the next wire_rx call */
	uint32_t length;
};

/* ---- sending: append one frame to a buffer; one that is too long marks the buffer failed ---- */
void wire_put(struct buf *out, enum wire_type type, uint8_t channel, uint32_t stream, const void *payload, size_t n);
void wire_put_credit(struct buf *out, uint32_t stream, uint8_t channel, uint32_t bytes);
void wire_put_signal(struct buf *out, uint32_t stream, int signo);
void wire_put_resize(struct buf *out, uint32_t stream, unsigned cols, unsigned rows);
/* Header of a DATA frame for n bytes that the caller appends itself, followed by wire_put_trailer. */
void wire_put_header(struct buf *out, enum wire_type type, uint8_t channel, uint32_t stream, size_t n);
void wire_put_trailer(struct buf *out);
uint32_t wire_get_u32(const uint8_t *p);

/* ---- receiving ---- */
struct wire_rx {
	struct buf in;
	size_t used; /* bytes of in already handed out */
	bool lost;   /* out of step: skip to a HELLO */
};
void wire_rx_init(struct wire_rx *rx);
void wire_rx_free(struct wire_rx *rx);
/* Room to read at least `want` bytes into; then wire_rx_fed(n). NULL without memory. */
char *wire_rx_space(struct wire_rx *rx, size_t want);
void wire_rx_fed(struct wire_rx *rx, size_t n);
/* Next whole frame: 1 and *f; 0 when more bytes are needed. Never fails: bad bytes turn the receiver `lost`, in which
 * state everything up to a well-formed HELLO frame (at most 128 bytes, with a nonce) is skipped. f->payload points into
 * rx. Frames with an unknown type, a channel above 2, flags or a length above WIRE_PAYLOAD_MAX count as bad bytes. */
int wire_rx_next(struct wire_rx *rx, struct wire_frame *f);
/* Become lost on purpose (the host does so before its HELLO is answered, the agent when its port hangs up). */
void wire_rx_lose(struct wire_rx *rx);

/* ---- records ---- */
void wire_rec_u64(struct buf *out, enum wire_tag tag, uint64_t v);
void wire_rec_bytes(struct buf *out, enum wire_tag tag, const void *p, size_t n);
void wire_rec_str(struct buf *out, enum wire_tag tag, const char *s); /* NULL: nothing is written */

struct wire_field {
	enum wire_tag tag;
	const uint8_t *p;
	size_t n;
};
/* Walk: start with *at = 0; 1 and *f per field, 0 at the end, -1 when malformed. */
int wire_rec_next(const uint8_t *rec, size_t n, size_t *at, struct wire_field *f);
/* True when every field is well formed. */
bool wire_rec_valid(const uint8_t *rec, size_t n);
/* First field of a tag: 1 found, 0 not. */
int wire_rec_find(const uint8_t *rec, size_t n, enum wire_tag tag, struct wire_field *f);
uint64_t wire_rec_get_u64(const uint8_t *rec, size_t n, enum wire_tag tag, uint64_t def);
/* NUL-terminated copy (mem_strndup); NULL when absent or when it holds a NUL byte. Caller frees. */
char *wire_rec_get_str(const uint8_t *rec, size_t n, enum wire_tag tag);

#endif
