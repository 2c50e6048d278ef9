/*
 * A mark for each entry of a generation: what the kernel was given of it.
 *
 * A directory is marked once it was listed with its inodes, a file once its content was
 * read or fed (fs/feeder.h). One bit an entry; any thread, no lock. Marks are hints: the
 * kernel may have dropped since what it was given.
 */
#ifndef LARDER_FS_MARKS_H
#define LARDER_FS_MARKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct marks {
	atomic_uint_least64_t *words; /* owned */
};

/* 0 or -ENOMEM. */
int marks_init(struct marks *m, uint32_t entries);

static inline void marks_finish(struct marks *m)
{
	free(m->words);
}

static inline bool marks_has(const struct marks *m, uint32_t entry)
{
	uint64_t word = atomic_load_explicit(&m->words[entry / 64], memory_order_relaxed);
	return word >> entry % 64 & 1;
}

/* True when it was not there before. */
static inline bool marks_set(struct marks *m, uint32_t entry)
{
	uint64_t bit = UINT64_C(1) << entry % 64;
	return !(atomic_fetch_or_explicit(&m->words[entry / 64], bit,
			 memory_order_relaxed) &
		 bit);
}

#endif
