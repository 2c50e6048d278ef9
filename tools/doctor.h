/*
 * What larder doctor finds: a line each as it is found, or one JSON array.
 */
#ifndef LARDER_TOOLS_DOCTOR_H
#define LARDER_TOOLS_DOCTOR_H

#include <stdbool.h>

#include "fetch/options.h"

enum finding {
	FINDING_FINE,
	FINDING_NOTE,    /* works, for some purposes */
	FINDING_WARNING, /* works, but not as well as it could */
	FINDING_FAILED,  /* does not work */
};

struct doctor {
	const struct options *o; /* borrowed */
	unsigned said;
	unsigned failed;
	unsigned refused; /* of them, those that credentials would mend */
};

/* `what` is a word or two: "cache", "clock". The sentence says what to do, where there is
 * something to be done. */
void doctor_say(struct doctor *d, enum finding level, const char *what,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Ends the JSON array. */
void doctor_finish(struct doctor *d);

/* FUSE, fusermount3, larderfs, the cache folder. */
void doctor_look_at_system(struct doctor *d);

#endif
