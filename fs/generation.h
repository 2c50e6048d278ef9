/*
 * A generation: one pinned version of one key, open for reading.
 *
 * Its index answers everything but content without waiting. Content comes through
 *
 *     reader (decoded frames) -> chunk source (proves, caches) -> bytes that came with
 * the opening -> pinned source (reopens) -> the store
 *
 * and every byte is proved against the identity. docs/generations.md has the states.
 *
 * Counted references; the last one frees it, after `gone` was called. All functions may
 * be called from any thread that has a reason to know the generation lives.
 */
#ifndef LARDER_FS_GENERATION_H
#define LARDER_FS_GENERATION_H

#include "archive/prefetcher.h"
#include "archive/reader.h"
#include "fetch/chunk_cache.h"
#include "fetch/pinned_source.h"
#include "fs/marks.h"
#include "fs/slots.h"
#include "fs/supply.h"

struct generation;

/* What a generation asks of the key it belongs to. */
struct generation_hooks {
	/* The object was reopened: pinned_judge_fn with the generation named. */
	int (*judge)(void *arg, struct generation *g, const struct call *call,
		struct object **fresh, struct error *e);
	/* Its own bytes are out of reach: chunk_fallback_fn with the generation named. */
	int (*elsewhere)(void *arg, struct generation *g, const struct call *call,
		const struct digest *digest, size_t len, void *buf);
	/* The last reference has gone. */
	void (*gone)(void *arg, struct generation *g);
	void *arg;
};

/* Loads the archive in an opened object (taken over, also on failure) of the key, and
 * gives it a slot. One reference is the caller's. 0; -EBADMSG: no archive, or a corrupt
 * one; -ESTALE, -ENOENT: the object changed meanwhile; -ENOMEM, -ENOSPC and
 * range_source_read()'s errors. */
int generation_new(const struct supply *supply, const char *key, struct object *object,
	const struct call *call, const struct generation_hooks *hooks,
	struct generation **ret, struct error *e);

void generation_ref(struct generation *g);
void generation_unref(struct generation *g); /* accepts NULL */
DEFINE_CLEANUP(cleanup_generation, struct generation, generation_unref);
/* False when it is being freed. For those who hold it weakly, under their lock. */
bool generation_ref_unless_gone(struct generation *g);

/* The kernel is told of its inodes, or has forgotten them, `count` times: each lookup is
 * a reference too. */
void generation_lookup(struct generation *g, uint64_t count);
void generation_forget(struct generation *g, uint64_t count);
/* The kernel is gone and will not forget any more. */
void generation_forget_all(struct generation *g);

uint32_t generation_slot(const struct generation *g);
const struct index *generation_index(const struct generation *g);     /* borrowed */
const struct archive *generation_archive(const struct generation *g); /* borrowed */
const struct digest *generation_identity(const struct generation *g);
struct reader *generation_reader(const struct generation *g); /* borrowed */
struct marks *generation_marks(struct generation *g);         /* borrowed */
void *generation_hooks_arg(const struct generation *g);
void generation_pin(const struct generation *g, struct pin *ret);
bool generation_superseded(const struct generation *g);

/* Another one is to become current, for good. */
void generation_retire(struct generation *g);
bool generation_retired(const struct generation *g);
/* Does the kernel know inodes of it? May change at any time. */
bool generation_known(const struct generation *g);

/* The stored frame of this digest, if this generation has one: chunk_fallback_fn's
 * contract. */
int generation_chunk(struct generation *g, const struct call *call,
	const struct digest *digest, size_t len, void *buf);

/* The content digest of a regular file: 0; -ENOENT: it has none (its frames have), or they
 * are not at hand. */
int generation_content_digest(struct generation *g, uint32_t entry, uint8_t ret[16]);

/* Makes the content digests be at hand: loads them, or waits for who does (but for no
 * guess). 0; -ENOENT: the archive has none; range_source_read()'s errors. */
int generation_load_digests(
	struct generation *g, const struct call *call, struct error *e);

/* The same ahead of any need, if enough was read of the key that their size does not count.
 * -EAGAIN: it was not, or somebody is at it, or they turned out to be damaged. */
int generation_guess_digests(
	struct generation *g, const struct call *call, struct error *e);

/* A regular file with this content digest: 0 or -ENOENT. `hint` is looked at first. */
int generation_find_content(struct generation *g, const uint8_t digest[16], uint64_t size,
	uint32_t hint, uint32_t *ret);

struct generation_stats {
	struct chunk_stats chunks;
	struct reader_stats reader;
	uint64_t reopens;
	uint64_t lookups; /* the kernel's */
	size_t memory;    /* bytes: index, digests, decoded frames, retained tail */
};
void generation_stats(struct generation *g, struct generation_stats *ret);

#endif
