/*
 * A store: where objects live. One interface for s3://, http(s):// and file:.
 *
 * store_new() starts whatever threads the kind needs (so: after daemonising). Every
 * function may be called from many threads, blocks at most until call->deadline_ns, and
 * can be ended early through call->cancel.
 *
 * An object is one pinned version of one key: its range source reads only bytes of that
 * version. For HTTP that is If-Match on each range, and the answer's status, ETag,
 * Content-Range and total size compared with the pin (RFC 9110 sections 13.1.1, 14.4,
 * 15.3.7); with a version id the range asks for that version. For files it is the open
 * descriptor.
 *
 * Every key is checked by key_check() (fetch/key.h) first: -EINVAL.
 */
#ifndef LARDER_FETCH_STORE_H
#define LARDER_FETCH_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "fetch/pin.h"
#include "fetch/range_source.h"
#include "fetch/settings.h"

struct store;
struct object;

/* A store of the kind the URL names. settings is copied. Borrow nothing.
 * -EINVAL: the URL or a setting is wrong; -ENOMEM; -errno when a relative path has no
 * working directory. Nothing is touched yet, neither network nor disk: a file: store
 * whose folder is not there holds no key (-ENOENT, also from store_list()) until the
 * first publication makes it. */
int store_new(const char *url, const struct settings *settings, struct store **ret,
	struct error *e);
void store_free(struct store *s);
DEFINE_CLEANUP(cleanup_store, struct store, store_free);

/* The URL without secrets and query, or the folder's path: for people. Borrowed. */
const char *store_name(const struct store *s);

/* --- reading --------------------------------------------------------------------- */

/* Opens the key and reads its last tail_len bytes (all of it when shorter) with ONE
 * request: a suffix range. -ENOENT: no such key (404, and 403 AccessDenied, which S3
 * answers without list permission: *ret_denied, if not NULL, tells). -EKEYREJECTED,
 * -ETIMEDOUT, -ECANCELED, -EIO (also when the answer contradicts itself twice). */
int store_open_object(struct store *s, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e);
void object_free(struct object *o); /* no read may be under way */
DEFINE_CLEANUP(cleanup_object, struct object, object_free);

const struct pin *object_pin(const struct object *o);

/* The tail read at opening; NULL after object_drop_tail(). Borrowed. */
const void *object_tail(const struct object *o, size_t *ret_len);
void object_drop_tail(struct object *o);

/* Some stores give an object as a whole or not at all, and then it is kept in memory to be
 * read from. This drops that, where it can be asked for again: once for each read, so this
 * is for who has another copy. No read may be under way. */
void object_drop_whole(struct object *o);

/* The bytes kept in memory like that for as long as the object lives, or until then. */
size_t object_held(const struct object *o);

/* Borrowed; as long as the object lives. */
struct range_source *object_source(struct object *o);

/* Size, ETag and metadata without a body (HEAD). Same errors. */
int store_stat_object(struct store *s, const struct call *call, const char *key,
	struct pin *ret, bool *ret_denied, struct error *e);

/* --- listing --------------------------------------------------------------------- */

struct list_entry {
	const char *key;   /* full key below the store; a directory's ends with '/' */
	bool is_directory; /* a common prefix: keys lie below it */
	uint64_t size;     /* bytes */
	int64_t mtime_s;
};

/* Called for each entry, in bytewise order as far as the store's pages are (S3 promises it);
 * non-zero ends the listing and is returned. */
typedef int list_fn(void *arg, const struct list_entry *entry);

/* Every key that begins with prefix (any string, "" for all); with `deep` unset, keys
 * with a '/' behind the prefix are folded into directories (delimiter '/'). Pages are
 * followed to the end. Keys that key_check() refuses, and those below ".larder/", are
 * left out. -EOPNOTSUPP: this kind cannot list (plain HTTP). Other errors as above; in a
 * folder store, directories that may not be read are left out. */
int store_list(struct store *s, const struct call *call, const char *prefix, bool deep,
	list_fn *fn, void *arg, struct error *e);

/* Some `connections` ranges will be asked for at once before long: what can be made ready
 * for that is, without waiting. */
void store_warm(struct store *s, unsigned connections);

/* --- what it did ------------------------------------------------------------------ */

struct store_stats {
	uint64_t requests; /* hedges and retries included */
	uint64_t retries;
	uint64_t hedges; /* asked a second time because the first answer was late */
	uint64_t received_bytes; /* of bodies */
	uint64_t sent_bytes;     /* of bodies */
	uint64_t round_trip_ns;  /* smoothed time to first byte; 0: nothing measured */
	uint64_t bytes_per_s;    /* smoothed, of one connection; 0: nothing measured */
	bool clock_seen;         /* an answer had a Date: */
	char region[64];         /* requests are signed for it now; "": they are not signed */
	int64_t clock_ahead_s;   /* the store's clock less ours, when the last one came */
};
void store_stats(struct store *s, struct store_stats *ret);

#endif
