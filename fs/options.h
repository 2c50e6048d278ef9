/*
 * What larderfs was asked to do: the shared options (fetch/options.h), checked and made
 * ready for use.
 */
#ifndef LARDER_FS_OPTIONS_H
#define LARDER_FS_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fetch/base/buf.h"
#include "fetch/key_choice.h"
#include "fetch/options.h"
#include "fs/mount_words.h"

struct fs_options {
	struct options said;      /* owned; borrows from words */
	struct mount_words words; /* owned */
	struct key_choice keys;   /* owned; empty where key is NULL */
	struct buf fallback;      /* owned: the store's URL when none was named */

	const char *store;      /* URL. Borrowed from the three above, as all below */
	const char *mountpoint; /* as given */
	const char *key;        /* with its scope; NULL: the whole store */
	uid_t uid;
	gid_t gid;
	bool version; /* only the version is wanted (or, said.help, the help) */
};

void fs_options_init(struct fs_options *o);
void fs_options_finish(struct fs_options *o);

/* Reads argv and the environment. 0; -EINVAL with a sentence; -ENOMEM. */
int fs_options_parse(struct fs_options *o, int argc, char **argv, struct error *e);

/* Prints --help. */
void fs_options_help(void);

#endif
