/*
 * A crew: threads that work at one thing for one call, and end with it.
 *
 * A cancel wakes one waiter only (fetch/base/call.h). So each member has a cancel of its
 * own, and the caller's thread waits with the call's; when that is fired, it fires all of
 * theirs. The deadline is the same for all: who meets it says so himself.
 */
#ifndef LARDER_FETCH_BASE_CREW_H
#define LARDER_FETCH_BASE_CREW_H

#include "fetch/base/call.h"

#define CREW_MAX 64u /* members */

/* The work of member `number`, from 0. call: the crew's, but for the cancel. */
typedef void crew_fn(void *arg, unsigned number, const struct call *call);

/* Runs n members, at most CREW_MAX, that begin together, and returns when all have ended:
 * how many there were, which is fewer than n when the system had no thread for more. All
 * signals are blocked in them. */
unsigned crew_run(const struct call *call, unsigned n, crew_fn *fn, void *arg);

#endif
