/*
 * Memory that runs out: an operation is done again and again, and each time another one
 * of its allocations fails, until one run needs none that fails.
 *
 * The operation must say 0 or -ENOMEM, whichever allocation it was; must give back every
 * block and descriptor; and must work again once there is memory. Each place is tried
 * twice: with that one allocation failing, and with every one from there on.
 *
 * Counted are the calls of our own code, in all its threads: malloc() and its kin, and
 * what makes objects in libraries (link with `scarce_memory` of tests/unit/meson.build,
 * which wraps them). What libraries allocate for themselves does not fail.
 *
 * An operation that allocates a lot is tried at SCARCE_TRIES places, which differ from
 * run to run; LARDER_SCARCE=all in the environment tries every one, and LARDER_SCARCE=n
 * those from the nth on.
 */
#ifndef LARDER_TESTS_UNIT_SCARCE_H
#define LARDER_TESTS_UNIT_SCARCE_H

#include <stdbool.h>

#define SCARCE_TRIES 60

/* 0 or -errno. It owns nothing when it returns. */
typedef int scarce_fn(void *arg);

/* Fails the cmocka test that calls it, with the operation's name and the place. */
void scarce_try(const char *name, scarce_fn *fn, void *arg);

/* For what the linker cannot wrap: counts an allocation, and tells whether it is to fail. */
bool scarce_runs_out(void);

/* For parts of a test that stand in for something else: while spared, allocations of this
 * thread do not fail, and may be kept. Returns what to restore. */
bool scarce_spare(bool spared);

#endif
