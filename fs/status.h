/*
 * What a mount says of itself: as JSON (RFC 8259) for machines, as lines for people.
 *
 * Read through the xattrs user.larder.status and user.larder.summary of the mountpoint
 * (and of any doorway); nothing lists them. At most STATUS_MAX bytes: of many known keys
 * the first FACTS_KEYS (fs/facts.h) are told, fewer where they are long, and how many
 * there are.
 */
#ifndef LARDER_FS_STATUS_H
#define LARDER_FS_STATUS_H

#include <stddef.h>
#include <stdio.h>

#include "fs/larderfs.h"

#define STATUS_MAX  (60u << 10) /* bytes; the kernel's limit for an xattr is 64 KiB */

/* malloc()ed text for the caller, not NUL-terminated. 0, -ENOMEM. */
int status_json(struct larderfs *l, char **ret, size_t *ret_len);
int status_summary(struct larderfs *l, char **ret, size_t *ret_len);

/* One line for who mounted one key. instead_of: the key that was wanted, when it is not
 * this one; else NULL. */
void status_first_words(FILE *out, struct generation *g, const char *instead_of);

/* One line for the log at unmount, without a line break, into ret. */
void status_last_words(struct larderfs *l, char *ret, size_t size);

#endif
