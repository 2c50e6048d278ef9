/*
 * The command line that starts larderfs: what `larder mount` was told and larderfs must
 * know.
 *
 * Environment variables are not repeated: larderfs reads them itself.
 */
#ifndef LARDER_TOOLS_DAEMON_WORDS_H
#define LARDER_TOOLS_DAEMON_WORDS_H

#include "fetch/options.h"

struct daemon_words {
	/* NULL-ended; into argv, the tables, what was given, or `made` */
	struct word_vec words;
	struct word_vec made; /* owned strings */
};

/* The words, the program's name first, for a mount of o's store on mountpoint (both
 * borrowed). A zeroed *ret is filled, and is to be finished whatever comes back. 0;
 * store_url_default()'s errors; -ENOMEM. */
int daemon_words_make(struct daemon_words *ret, const char *program,
	const struct options *o, const char *mountpoint, struct error *e);
void daemon_words_finish(struct daemon_words *l);

#endif
