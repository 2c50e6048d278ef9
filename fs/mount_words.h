/*
 * mount(8)'s way of saying options: -o name,name=value.
 *
 * Rewritten into the words that fetch/options.h reads: `-o key=K,allow_other` becomes
 * --key=K --allow-other. '_' and '-' are one in names; `\,` is a comma in a value. What
 * mount(8) and fstab(5) say for themselves (ro, rw, nosuid, user, _netdev, x-anything
 * ...) is left out: the mount is read-only, nosuid and nodev whatever is asked, and
 * mount(8) says `rw` to every helper when nothing was said. noexec and nosymfollow are
 * kept.
 */
#ifndef LARDER_FS_MOUNT_WORDS_H
#define LARDER_FS_MOUNT_WORDS_H

#include <stdbool.h>

#include "fetch/base/error.h"

struct mount_words {
	int argc;
	char **argv;        /* owned, with its strings; NULL-ended */
	bool no_exec;       /* -o noexec was there */
	bool no_sym_follow; /* -o nosymfollow was there */
};

/* 0; -EINVAL names an option that nobody knows; -ENOMEM. */
int mount_words_expand(int argc, char **argv, struct mount_words *ret, struct error *e);
void mount_words_finish(struct mount_words *w);

#endif
