/*
 * A spool: bytes that wait to be sent, hashed while they come.
 *
 * Up to `memory_max` bytes stay in memory; what is more goes to a file that never has a
 * name (O_TMPFILE, else unlinked at once), so that nothing is left whoever is killed. It
 * lies in $TMPDIR, else in the folder given, else in /var/tmp or /tmp: the first where a
 * file can be made. (/tmp is last because it is often memory.)
 *
 * Written by one thread, then sealed; a sealed spool may be read by any.
 */
#ifndef LARDER_FETCH_SPOOL_H
#define LARDER_FETCH_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/base/error.h"

struct spool;

/* folder is borrowed for the spool's life; NULL or "": none. NULL when out of memory. */
struct spool *spool_new(size_t memory_max, const char *folder);
void spool_free(struct spool *s);
DEFINE_CLEANUP(cleanup_spool, struct spool, spool_free);

/* 0; -ENOSPC, -EACCES and others of open(2) and write(2), naming the folder; -ENOMEM. */
int spool_write(struct spool *s, const void *data, size_t len, struct error *e);

/* Ends the writing. 0 or -ENOMEM. */
int spool_seal(struct spool *s);

uint64_t spool_size(const struct spool *s); /* bytes */

/* Of a sealed spool: SHA-256 of all bytes; the bytes, or NULL where they are in a file;
 * the file's descriptor, or -1. Borrowed. */
const struct digest *spool_digest(const struct spool *s);
const void *spool_data(const struct spool *s);
int spool_fd(const struct spool *s);

#endif
