/*
 * A stall meter: is this transfer still moving?
 *
 * It stalls when fewer than STALL_BYTES_PER_S came within the last `window` of time. The
 * window is kept in slices, so a stall is seen after one window and at most one slice
 * more, whatever came before it. A time in which stall_check() was not called for a whole
 * window is not held against the peer. Pure: the time is passed in. Plain data.
 */
#ifndef LARDER_FETCH_STALL_H
#define LARDER_FETCH_STALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STALL_BYTES_PER_S 1000
#define STALL_SLICES      8
#define STALL_NEVER       UINT64_MAX /* as a window: this meter never stalls */

struct stall_meter {
	uint64_t slice_ns;
	uint64_t least;        /* bytes in a whole window */
	uint64_t slice_end_ns; /* when the current slice is over */
	uint64_t bytes[STALL_SLICES];
	unsigned current; /* slice */
	unsigned past;    /* slices that are over, up to STALL_SLICES */
};

/* window_ns 0 counts as STALL_NEVER. */
void stall_init(struct stall_meter *m, uint64_t now_ns, uint64_t window_ns);

void stall_count(struct stall_meter *m, size_t bytes);

/* True when the window that ends now saw too little. */
bool stall_check(struct stall_meter *m, uint64_t now_ns);

/* When stall_check() should be asked next; UINT64_MAX: never. */
uint64_t stall_next(const struct stall_meter *m);

#endif
