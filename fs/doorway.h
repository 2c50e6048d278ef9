/*
 * A doorway: a key shown as a directory, opened once, that leads to its current
 * generation (docs/generations.md).
 *
 * Counted references: one by the node that shows it, one by each live generation. The
 * one mutex guards the current generation, the live ones and the opening; only the history's
 * is taken under it.
 */
#ifndef LARDER_FS_DOORWAY_H
#define LARDER_FS_DOORWAY_H

#include "fs/generation.h"
#include "fs/view.h"

#define DOORWAY_REOPENS                                                                  \
	4 /* beginnings of one opening, when the object changes meanwhile */
#define DOORWAY_SHUT_NS                                                                  \
	(5 * NS_PER_SECOND) /* what is not there, or no archive, is left alone so long */

struct doorway;

struct doorway_hooks {
	/* A new generation has become current. Called on the thread that found it, no
	 * lock held; both generations live during the call. */
	void (*succeeded)(void *arg, uint64_t inode, struct generation *old,
		struct generation *fresh);
	/* The generation is the first of its key (of a new doorway), which is shown as
	 * this inode already, or not yet: 0. */
	void (*opened)(void *arg, uint64_t inode, struct generation *g);
	/* The store said 403 for this key: it is taken for a miss. */
	void (*denied)(void *arg, const char *key);
	void *arg;
};

/* key is copied; supply and hooks are borrowed and outlive it. 0, -ENOMEM. */
int doorway_new(const struct supply *supply, const struct doorway_hooks *hooks,
	const char *key, struct doorway **ret);

/* The inode that shows it, for the hooks. To be called before any read. */
void doorway_set_inode(struct doorway *d, uint64_t inode);

void doorway_ref(struct doorway *d);
void doorway_unref(struct doorway *d);

const char *doorway_key(const struct doorway *d); /* borrowed */

/* The current generation, with a reference for the caller; opens the key when need be.
 * 0; -ENOENT; -EBADMSG; -EKEYREJECTED, -ETIMEDOUT, -ECANCELED, -EIO, -ESTALE: it changed
 * each time; -ENOMEM. */
int doorway_generation(struct doorway *d, const struct call *call,
	struct generation **ret, struct error *e);

/* The same without waiting: NULL when the key is not open. */
struct generation *doorway_current(struct doorway *d);

/* When another version last took the current one's place. False: never, and *ret is left
 * alone. */
bool doorway_changed(struct doorway *d, struct timespec *ret);

/* Has a generation come through it? Takes no lock. */
bool doorway_was_opened(const struct doorway *d);

/* Until when (monotonic) the key is taken for what an opening found: not there, or no
 * archive. 0: it was never so. */
uint64_t doorway_shut_until(struct doorway *d);

/* A live generation by its slot, with a reference; NULL: it is gone. */
struct generation *doorway_live(struct doorway *d, uint32_t slot);

/* The node was forgotten: the current generation is let go, nothing is opened again. */
void doorway_close(struct doorway *d);

/* Content of a file of g (the caller has a reference), from g itself or, when its bytes
 * are out of reach, from a file of a newer generation with the same content.
 * view_of_entry()'s errors; -ESTALE also when that file is damaged. */
int doorway_view(struct generation *g, const struct call *call, uint32_t entry,
	uint64_t offset, size_t len, struct view *ret, struct error *e);

/* The doorway that g came through. Borrowed, while g lives. */
struct doorway *doorway_of(const struct generation *g);

struct doorway_stats {
	unsigned generations; /* made since the doorway was */
	unsigned live;
	uint64_t twins; /* reads served from another generation's file */
};
void doorway_stats(struct doorway *d, struct doorway_stats *ret);

#endif
