/*
 * libplasmite: persistent JSON message pools that are just files.
 *
 * A pool is one file of fixed size that holds JSON messages in a ring. Any number of processes append to it and read
 * from it, without a broker; old messages make room for new ones. Link with -lplasmite (pkg-config: plasmite).
 *
 *     plsm_client_t *client = NULL;
 *     plsm_pool_t *pool = NULL;
 *     plsm_buf_t message = {0};
 *     plsm_error_t *error = NULL;
 *     const char *json = "{\"text\":\"hi\"}", *tags[] = {"note"};
 *
 *     if (plsm_client_new(NULL, &client, &error) == 0
 *         && plsm_pool_open_or_create(client, "docs", 0, &pool, &error) == 0
 *         && plsm_pool_append_json(pool, (const uint8_t *)json, strlen(json), tags, 1, 0, &message, &error) == 0)
 *         printf("%.*s\n", (int)message.len, (const char *)message.data);
 *     if (error) fprintf(stderr, "%s\n", error->message);
 *
 *     plsm_error_free(error);
 *     plsm_buf_free(&message);
 *     plsm_pool_free(pool);
 *     plsm_client_free(client);
 *
 * RULES THAT HOLD FOR EVERY FUNCTION
 *
 * Returns. 0 is success and -1 an error, unless the function says otherwise (streams and waits also return 1 and 2).
 *
 * Errors. The last parameter, out_err, may be NULL when the reason does not matter. Otherwise a call sets *out_err to
 *   NULL when it begins, and to a new error when it fails; free that with plsm_error_free. Like every result, it
 *   overwrites what was there without freeing it. No exception and no panic ever leaves the library: a bug of ours is
 *   reported as PLSM_ERR_INTERNAL.
 *
 * NULL. Handles, strings, arrays and out-pointers must not be NULL unless the function says so. One that is gives
 *   PLSM_ERR_USAGE ("pool is null"), before anything is done.
 *
 * Results. A failed call leaves NULL, or an empty buffer, in the places for its results: there is nothing to free.
 *
 * Ownership. What you pass in stays yours and is not looked at again once the call has returned. What you get is yours
 *   to free, with the function of its type, once. Every free function accepts NULL. Handles may be freed in any order:
 *   a stream goes on after its pool and its client were freed.
 *
 * Threads. Any number of threads may use one handle at the same time; no call holds up another but for the copying of
 *   a message. Freeing a handle while another thread is in a call with it, a waiting one included, is the one thing you
 *   must not do: wait in slices (plsm_stream_read), and let the waiting thread be done before you free.
 *
 * Fork. Handles work in a forked child too, independently of the parent (a stream goes on from where it was). The
 *   exception is a stream that another thread was reading from at the moment of the fork: open a new one.
 *
 * Resizing. When a pool gets another size (plasmite pool resize), streams go on in its new file by themselves: no message is
 *   lost or repeated, but for the oldest ones if they have no room there. An open plsm_pool_t gives PLSM_ERR_NOT_FOUND, with
 *   path set and a text that says "resized", from then on, and what it was asked to append is not appended: free it, open the
 *   pool again, and repeat the call. Messages keep their seqs.
 *
 * Text. Strings are UTF-8 with a NUL at the end; the pool directory may be any bytes. JSON in buffers has
 *   no NUL in it, and no newline at its end (except for JSON Lines, where each line has one).
 */
#ifndef PLASMITE_H
#define PLASMITE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the ABI this header describes. It grows with every addition; nothing is ever changed or taken away. */
#define PLSM_ABI_VERSION 3

/* As json_len: the JSON text ends in a NUL, which is looked for. */
#define PLSM_TO_NUL ((size_t)-1)

/* The size of a pool when none is asked for, in bytes. */
#define PLSM_DEFAULT_POOL_SIZE_BYTES 1048576

/* ---------------------------------------------------------------------------------------------------- types */

/* A pool directory, which need not exist. Holds no file open, and no lock. Any thread may use it at any time. From
 * plsm_client_new; free it with plsm_client_free, before its pools or after them. */
typedef struct plsm_client plsm_client_t;

/* An open pool: a descriptor, and a mapping of its file. Any number of threads may use it at the same time. From
 * plsm_pool_create, _open or _open_or_create; free it with plsm_pool_free, before its streams or after them. */
typedef struct plsm_pool plsm_pool_t;

/* A cursor over a pool's messages. Reading consumes nothing; each stream is on its own. Any number of threads may use one
 * at the same time, and get different messages. It keeps the pool open for itself. From plsm_stream_open, _open_ex or
 * _open_tagged; free it with plsm_stream_free. */
typedef struct plsm_stream plsm_stream_t;

/* Bytes from the library. The struct is yours, and filled by a call; start with {0}. The bytes are yours until you free them
 * with plsm_buf_free, with data and len as they were given to you; they depend on no handle. Not for several threads at once. */
typedef struct plsm_buf {
    uint8_t *data; /* with a NUL behind them that len does not count (since ABI 2); NULL when len is 0 */
    size_t len;
} plsm_buf_t;

/* What an append gave a message. */
typedef struct plsm_receipt {
    uint64_t seq;
    uint64_t time_ns; /* nanoseconds since 1970-01-01T00:00:00Z */
} plsm_receipt_t;

/* The kinds of errors: the values of plsm_error_t.kind. */
enum {
    PLSM_ERR_INTERNAL = 1,       /* a bug of Plasmite */
    PLSM_ERR_USAGE = 2,          /* a bad argument, invalid JSON, a message too large, an unknown format version */
    PLSM_ERR_NOT_FOUND = 3,      /* no such pool (path is set; open it anew if it was resized), or no such message (seq is set) */
    PLSM_ERR_ALREADY_EXISTS = 4, /* a pool of that name is there already */
    PLSM_ERR_BUSY = 5,           /* a writer that lives keeps the pool's lock; trying again later may work */
    PLSM_ERR_PERMISSION = 6,     /* the file system refused */
    PLSM_ERR_CORRUPT = 7,        /* the file is damaged, or is not a pool */
    PLSM_ERR_IO = 8,             /* another input or output failure */
    PLSM_ERR_RETENTION_GAP = 9   /* messages were overwritten before the stream read them; seq is the first of them */
};

/* An error. Read it (from any thread), don't change it; free it, with its strings, with plsm_error_free. It depends on no
 * handle. */
typedef struct plsm_error {
    int32_t kind;       /* PLSM_ERR_... */
    char *message;      /* what happened, with which values, and what to do; never NULL */
    char *path;         /* the file or directory it is about, or NULL */
    uint64_t seq;       /* the message it is about, if has_seq */
    uint64_t offset;    /* a byte: of the JSON text given (PLSM_ERR_USAGE), or of the file (PLSM_ERR_CORRUPT); if has_offset */
    uint8_t has_seq;    /* 1 or 0 */
    uint8_t has_offset; /* 1 or 0 */
} plsm_error_t;

/* How long an appended message lives: the values of uint32_t durability. */
enum {
    PLSM_DURABILITY_FAST = 0, /* survives the death of any process */
    PLSM_DURABILITY_FLUSH = 1 /* survives power loss too; waits for the disk */
};

/* What a stream does when messages it wanted were overwritten. */
enum {
    PLSM_GAP_CONTINUE = 0, /* goes on with the oldest message there is; seq shows the jump */
    PLSM_GAP_ERROR = 1     /* PLSM_ERR_RETENTION_GAP, once; then the stream has ended */
};

/* What plsm_stream_next and plsm_stream_read return, besides -1. */
enum {
    PLSM_STREAM_END = 0,     /* nothing more to deliver */
    PLSM_STREAM_MESSAGE = 1, /* the buffer is filled */
    PLSM_STREAM_AGAIN = 2    /* plsm_stream_read only: nothing came in wait_ms or before a signal, something may come later */
};

/* From where and how a stream reads. Start with {0} and set struct_size to sizeof(plsm_stream_options_t). */
typedef struct plsm_stream_options {
    uint32_t struct_size;  /* a larger one is fine (what lies beyond is not looked at), a smaller one PLSM_ERR_USAGE */
    uint32_t gap_policy;   /* PLSM_GAP_... */
    uint64_t since_seq;    /* the first message wanted, itself included; 0: the oldest one. One to come is waited for */
    uint64_t max_messages; /* end after so many; 0 ends at once */
    uint64_t timeout_ms;   /* how long plsm_stream_next waits for a message, in milliseconds; what is there comes first */
    uint32_t has_since;    /* not 0: since_seq counts; 0: start with the oldest message */
    uint32_t has_max;      /* not 0: max_messages counts; 0: no end */
    uint32_t has_timeout;  /* not 0: timeout_ms counts; 0: wait for ever */
    uint32_t reserved;     /* 0 */
} plsm_stream_options_t;

/* -------------------------------------------------------------------------------------------------- version */

/* The library's version, such as "0.1.0". Static: don't free it. */
const char *plsm_version(void);

/* The ABI's version that the library implements: at least PLSM_ABI_VERSION of the header you need. */
uint32_t plsm_abi_version(void);

/* --------------------------------------------------------------------------------------------------- client */

/* A client of a directory. pool_dir NULL: ~/.plasmite/pools, in the home directory as of now. Touches no file.
 * Errors: USAGE for an empty pool_dir, or NULL without a home directory. */
int plsm_client_new(const char *pool_dir, plsm_client_t **out_client, plsm_error_t **out_err);

/* Frees a client; its pools stay open. NULL is fine. */
void plsm_client_free(plsm_client_t *client);

/* ---------------------------------------------------------------------------------------------------- pools
 *
 * pool_ref names a pool: "docs" and "docs.plasmite" are the file docs.plasmite in the client's directory; with a '/'
 * it is the path of the file itself. USAGE for what no pool can be called: "", ".", "..", a newline in it, longer than
 * a file name may be, or a URL.
 */

/* Creates a pool whose file has exactly size_bytes bytes (0: PLSM_DEFAULT_POOL_SIZE_BYTES), all of them reserved on
 * the disk, and opens it. Directories above it are created. Nobody ever sees a half-made pool.
 * Errors: ALREADY_EXISTS; USAGE for a size that can't be (the text names the limits); PERMISSION; IO when the disk is full. */
int plsm_pool_create(plsm_client_t *client, const char *pool_ref, uint64_t size_bytes, plsm_pool_t **out_pool,
                     plsm_error_t **out_err);

/* Opens a pool. Without permission to write to its file it is opened for reading: then append gives PERMISSION.
 * Errors: NOT_FOUND with path; PERMISSION; CORRUPT; USAGE for a format version that this library does not know. */
int plsm_pool_open(plsm_client_t *client, const char *pool_ref, plsm_pool_t **out_pool, plsm_error_t **out_err);

/* Opens a pool, or creates it with size_bytes when it is not there. When several processes do this at once, one
 * creates it and all of them get the same pool. An existing pool keeps its size.
 * Errors: as plsm_pool_open and plsm_pool_create, without NOT_FOUND and ALREADY_EXISTS. */
int plsm_pool_open_or_create(plsm_client_t *client, const char *pool_ref, uint64_t size_bytes, plsm_pool_t **out_pool,
                             plsm_error_t **out_err);

/* Deletes a pool. Open handles, of any process, get NOT_FOUND from then on, and streams that wait on it wake up.
 * Errors: NOT_FOUND; PERMISSION; BUSY when a stopped writer holds the pool. */
int plsm_pool_delete(plsm_client_t *client, const char *pool_ref, plsm_error_t **out_err);

/* All pools of the directory as one JSON array, sorted by name: [{"name":...,"path":...,"size_bytes":...,...},...], each
 * as plsm_pool_info_json tells it. A pool that can't be read has "name", "path" and "error": {"kind","message",...}
 * instead. A directory that does not exist holds no pools.
 * Errors: PERMISSION or IO when the directory can't be read. */
int plsm_pool_list_json(plsm_client_t *client, plsm_buf_t *out_json, plsm_error_t **out_err);

/* Closes a pool; its streams go on. NULL is fine. */
void plsm_pool_free(plsm_pool_t *pool);

/* The facts of a pool as one JSON object: "name", "path", "size_bytes", "ring_bytes", "used_bytes",
 * "max_message_bytes", "max_messages", "format_version", "messages", "oldest_seq" and "newest_seq" (null when it holds
 * no message), "next_seq", "durable_seq", "created", "oldest_time", "newest_time" (RFC 3339, or null). More keys may come.
 * Errors: NOT_FOUND when the pool was deleted; CORRUPT. */
int plsm_pool_info_json(plsm_pool_t *pool, plsm_buf_t *out_json, plsm_error_t **out_err);

/* ------------------------------------------------------------------------------------------------- messages
 *
 * A message is handed over as its envelope, compact JSON with the keys in this order:
 *     {"seq":17,"time":"2026-03-01T12:00:00.123456789Z","meta":{"tags":["note"]},"data":{...}}
 * seq counts from 1 without holes and is never reused; time is UTC and never goes backwards within a pool. data is the
 * text that the writer gave, less the whitespace between its tokens: key order, duplicate keys, numbers and escapes are kept.
 * Its objects and arrays nest no deeper than 100 levels, itself included.
 */

/* Appends one JSON object as a message. When this returns, every reader of every process sees it.
 *   json_bytes, json_len  one JSON object in UTF-8, no NUL needed (unless json_len is PLSM_TO_NUL); whitespace around it is fine
 *   tags, tags_len        tags of 1 to 255 bytes; order and duplicates are kept. NULL is fine when tags_len is 0
 *   durability            PLSM_DURABILITY_...
 *   out_message           the envelope of the new message
 * Errors: USAGE for what is no JSON object (with offset), bad tags, or a message too large for the pool (the text has both
 * sizes); NOT_FOUND when the pool was deleted; PERMISSION; BUSY when a writer that lives keeps the lock for 2 s; CORRUPT; IO. */
int plsm_pool_append_json(plsm_pool_t *pool, const uint8_t *json_bytes, size_t json_len, const char **tags,
                          size_t tags_len, uint32_t durability, plsm_buf_t *out_message, plsm_error_t **out_err);

/* The same without the envelope, for who needs no more than its seq and time, or nothing at all: there is nothing to free.
 *   out_receipt           may be NULL; {0, 0} when the call failed
 * Errors: as plsm_pool_append_json. */
int plsm_pool_append(plsm_pool_t *pool, const uint8_t *json_bytes, size_t json_len, const char **tags, size_t tags_len,
                     uint32_t durability, plsm_receipt_t *out_receipt, plsm_error_t **out_err);

/* Appends many messages at once, faster than one by one: all of them with consecutive seqs, or none.
 *   json_bytes, json_len  JSON objects one after the other (JSON Lines, concatenated or pretty-printed; may be empty), or one
 *                         JSON array of objects
 *   tags, tags_len        the tags of every one of them
 *   out_lines             their envelopes as JSON Lines, in order; an empty buffer when there was no object
 * Errors: as plsm_pool_append_json; offset counts from json_bytes. */
int plsm_pool_append_batch(plsm_pool_t *pool, const uint8_t *json_bytes, size_t json_len, const char **tags,
                           size_t tags_len, uint32_t durability, plsm_buf_t *out_lines, plsm_error_t **out_err);

/* Reads one message.
 * Errors: NOT_FOUND with seq (and no path) when the pool does not hold it: 0, not yet written, or overwritten; NOT_FOUND
 * with path when the pool was deleted; CORRUPT. */
int plsm_pool_get_json(plsm_pool_t *pool, uint64_t seq, plsm_buf_t *out_message, plsm_error_t **out_err);

/* Waits until the pool has a message newer than seen_seq (0: any). timeout_ms counts when has_timeout is not 0.
 * Returns 1 when there is one, 0 when the time is over or a signal handler ran in this thread meanwhile, -1 on an error.
 * Errors: NOT_FOUND when the pool was deleted; CORRUPT. */
int plsm_pool_wait(plsm_pool_t *pool, uint64_t seen_seq, uint64_t timeout_ms, uint32_t has_timeout,
                   plsm_error_t **out_err);

/* -------------------------------------------------------------------------------------------------- streams */

/* A stream that goes on after gaps; the parameters are those of plsm_stream_options_t.
 * Errors: NOT_FOUND when the pool was deleted; CORRUPT. */
int plsm_stream_open(plsm_pool_t *pool, uint64_t since_seq, uint32_t has_since, uint64_t max_messages, uint32_t has_max,
                     uint64_t timeout_ms, uint32_t has_timeout, plsm_stream_t **out_stream, plsm_error_t **out_err);

/* A stream with options.
 * Errors: as plsm_stream_open; USAGE for options that can't be. */
int plsm_stream_open_ex(plsm_pool_t *pool, const plsm_stream_options_t *options, plsm_stream_t **out_stream,
                        plsm_error_t **out_err);

/* The same, of the messages that have every one of the tags. max_messages counts those; the wait for a next one is
 * not lengthened by others; a gap is a gap, whatever tags the lost messages had. NULL is fine when tags_len is 0.
 * Errors: as plsm_stream_open_ex. */
int plsm_stream_open_tagged(plsm_pool_t *pool, const plsm_stream_options_t *options, const char **tags, size_t tags_len,
                            plsm_stream_t **out_stream, plsm_error_t **out_err);

/* The next message. Waits for it up to the stream's timeout.
 * Returns PLSM_STREAM_MESSAGE; PLSM_STREAM_END when max_messages were delivered, a gap has ended the stream, or the time is
 * over (after that, calling again waits again); -1 on an error.
 * Errors: RETENTION_GAP under PLSM_GAP_ERROR; NOT_FOUND when the pool was deleted; CORRUPT. */
int plsm_stream_next(plsm_stream_t *stream, plsm_buf_t *out_message, plsm_error_t **out_err);

/* All messages that are there, as JSON Lines; when there is none, waits for one. Good for throughput, and for programs that
 * look at their signals: a signal handler that runs in this thread ends the wait. (One that runs just before the thread falls
 * asleep does not, so wait in slices.) The stream's own timeout does not count here.
 *   max_messages  take at most so many; 0: no limit
 *   max_bytes     take no more once the lines have so many bytes (one message is taken whatever its size); 0: no limit
 *   wait_ms       how long to wait for the first, in milliseconds; 0: don't; UINT64_MAX: for ever
 * Returns PLSM_STREAM_MESSAGE, PLSM_STREAM_AGAIN when the time is over or a signal handler ran, PLSM_STREAM_END when nothing
 * will come any more, -1.
 * Errors: as plsm_stream_next; what was read before the error is delivered first. */
int plsm_stream_read(plsm_stream_t *stream, uint64_t max_messages, uint64_t max_bytes, uint64_t wait_ms,
                     plsm_buf_t *out_lines, plsm_error_t **out_err);

/* A file descriptor for event loops (poll, epoll, asyncio): readable when plsm_stream_read should be called, with wait_ms 0.
 * It stays readable until such a call has returned PLSM_STREAM_AGAIN, and becomes so again when messages come or the pool is
 * deleted. Only poll it: don't read it, and don't close it, it goes with the stream. One thread of the library sleeps for all
 * streams of a pool that are polled, and ends after the last of them; it takes no signals. A forked child has no such thread,
 * and opens a new stream.
 * Errors: IO when there are too many files or threads; USAGE in a forked child. */
int plsm_stream_fd(plsm_stream_t *stream, int *out_fd, plsm_error_t **out_err);

/* Lets plsm_stream_next and plsm_stream_read look for a message for spin_us microseconds before they sleep; 0, as at first:
 * they sleep at once. A reader that looks need not be woken. The price is a CPU that is kept busy all the while; on a machine
 * with one CPU nothing spins. A signal handler does not end the spinning. After a wait in vain the next ones sleep at once,
 * until a message has come. Since ABI 3.
 * Errors: none but USAGE. */
int plsm_stream_set_spin(plsm_stream_t *stream, uint32_t spin_us, plsm_error_t **out_err);

/* Frees a stream, and closes its descriptor. NULL is fine. */
void plsm_stream_free(plsm_stream_t *stream);

/* -------------------------------------------------------------------------------------------------- freeing */

/* Frees the bytes and sets the struct to {NULL, 0}, so that freeing it twice is harmless. The struct itself is yours. NULL is
 * fine. */
void plsm_buf_free(plsm_buf_t *buf);

/* Frees an error with its strings. NULL is fine. */
void plsm_error_free(plsm_error_t *error);

#ifdef __cplusplus
}
#endif

#endif
