/*
 * What a mount knows of itself at one moment: the numbers behind the status and the
 * metrics. A snapshot: plain data, one thread's.
 */
#ifndef LARDER_FS_FACTS_H
#define LARDER_FS_FACTS_H

#include "fs/larderfs.h"

#define FACTS_KEYS 40 /* of many open keys so many are told */

/* One key that the kernel knows. */
struct key_facts {
	char *key; /* owned; NULL when there was no memory */
	bool open; /* those below but `doorway` are of the current generation */
	struct digest identity;
	struct pin pin;
	uint32_t entries;
	struct doorway_stats doorway;
	struct generation_stats current;
};

struct facts {
	const char *store; /* borrowed from the store */
	uint64_t uptime_s;
	uint64_t resident; /* bytes; 0: unknown */
	struct store_stats traffic;
	unsigned waiting, queued; /* requests */
	uint64_t reads, read_bytes, read_errors;
	struct last_complaint trouble;
	uint64_t trouble_s; /* so long ago */
	bool one_key;        /* is mounted, not the whole store */
	uint64_t overwrites; /* found by the mount: history_overwrites() */
	size_t keys;         /* known */
	size_t told;         /* of them, below */
	struct key_facts key[FACTS_KEYS];
};

/* NULL: no memory. */
struct facts *facts_new(struct larderfs *l);
void facts_free(struct facts *f); /* accepts NULL */

/* What `write` makes of the facts of now: malloc()ed for the caller, not NUL-terminated.
 * 0 or -ENOMEM. */
int facts_write(struct larderfs *l, void (*write)(FILE *out, const struct facts *f),
	char **ret, size_t *ret_len);

#endif
