/*
 * An address range of one size for ever, dealt in pieces that come and go fast.
 *
 * Frames come and go at the rate of the network. From malloc() their memory would stay in
 * some thread's arena, and mapped afresh each 4 KiB of it costs a page fault. So one
 * mapping is made, and dealt first fit: what was used before is used again, and what is
 * never needed is never touched. What was touched stays resident when it is given back, until
 * somebody takes it as idle and returns its memory to the system. Not for several threads at
 * once, but for arena_empty(): the owner has a lock.
 */
#ifndef LARDER_ARCHIVE_ARENA_H
#define LARDER_ARCHIVE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
	unsigned char *base; /* owned mapping; NULL: of no bytes */
	size_t grains;
	uint32_t *pieces; /* owned; by grain: the length of the piece that begins there */
	bool *touched;    /* owned; by grain: it was dealt since it was empty */
	size_t used;      /* bytes dealt out, in whole grains */
	size_t resident;  /* bytes touched */
};

/* size bytes, rounded down to grains of 16 KiB. 0 or -ENOMEM. */
int arena_init(struct arena *a, size_t size);
void arena_finish(struct arena *a); /* whatever is dealt out is gone */

/* At least len bytes (more than 0), with what lay there before; NULL: no room.
 * O(pieces and grains). */
void *arena_take(struct arena *a, size_t len);

bool arena_has(const struct arena *a, const void *data); /* false for NULL */

/* False: data is no piece of this arena (or NULL), and nothing was done. */
bool arena_give(struct arena *a, const void *data);

/* Takes a stretch, as long as there is, that is resident and that nobody has; to be emptied
 * and given back as such. NULL: there is none. */
void *arena_take_idle(struct arena *a, size_t *ret_len);

/* Returns the memory of a taken stretch to the system; what lay there is gone. Without the
 * owner's lock, for it takes a while. */
void arena_empty(void *data, size_t len);
void arena_give_empty(struct arena *a, const void *data);

#endif
