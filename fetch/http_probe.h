/*
 * Asking a store over HTTP which conditions it honours: what the probes of the s3:// and
 * http(s):// stores have in common.
 */
#ifndef LARDER_FETCH_HTTP_PROBE_H
#define LARDER_FETCH_HTTP_PROBE_H

#include "fetch/http_target.h"
#include "fetch/nonce.h"
#include "fetch/probe.h"

#define PROBE_RACERS_MAX  64u
#define PROBE_RACERS_FEW  8u /* of the one race before a first publication */
#define PROBE_KEY_SIZE    64 /* bytes, the NUL included */
#define PROBE_CLEAN_UP_NS (UINT64_C(5) * NS_PER_SECOND)

/* How the store shows what the quick probe wrote. */
struct probe_sight {
	bool seen;                         /* else it may not be looked at */
	char version_id[PIN_VERSION_SIZE]; /* "" where versions are not kept, or not seen
					    */
};

/* Writes the key ".larder/probe" twice. *ret: HONOUR_NO, or HONOUR_ATOMIC (nothing has
 * been seen to fail), then with *ret_sight. -EACCES: not allowed to write. -EIO: also where
 * the store takes no writes at all. Others as publication_begin(). */
int http_probe_quick(const struct http_root *root, const struct call *call,
	enum honour *ret, struct probe_sight *ret_sight, struct error *e);

/* Where the quick probe saw nothing fail: one race, on a fresh key, if we may look at it
 * and remove it again, all its versions where the store keeps them. *ret becomes
 * HONOUR_SEQUENTIAL when there was more than one winner, and stays as it is where the
 * store is too busy for a race. -ETIMEDOUT, -ECANCELED, -EKEYREJECTED, -ENOMEM; -EIO and
 * -EINVAL of a path that cannot be. */
int http_probe_race_once(const struct http_root *root, const struct call *call,
	const struct probe_sight *sight, enum honour *ret, struct error *e);

/* The same on a fresh key, and then races of so many writers on fresh keys. */
int http_probe_races(const struct http_root *root, const struct call *call,
	unsigned racers, unsigned rounds, enum honour *ret, struct error *e);

/* A key that nobody else has, as a target. Not to be moved: it points into itself. */
struct probe_key {
	char name[PROBE_KEY_SIZE];
	struct buf path; /* owned */
	struct http_target target;
};

/* 0, -EIO, -EINVAL, -ENOMEM; to be finished either way. */
int probe_key_init(const struct http_root *root, struct probe_key *ret, struct error *e);

/* Removes what is under it (all versions that come to light) where that is allowed,
 * within some seconds of its own. */
void probe_key_finish(struct probe_key *k);

/* One of the racers, numbered from 0. 0 and *ret_won, or an error. */
typedef int racer_fn(void *arg, unsigned number, const struct call *call, bool *ret_won,
	struct error *e);

/* Runs racers 0 to n - 1 (at most PROBE_RACERS_MAX) in threads that begin together. 0, or
 * the first error, and either way how many won; -EAGAIN no threads. */
int http_probe_race(const struct call *call, unsigned n, racer_fn *run, void *arg,
	unsigned *ret_winners, struct error *e);

#endif
