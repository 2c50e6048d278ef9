/*
 * An archive: an object's index, loaded and checked, with where its frames lie.
 *
 * archive_load() needs the last bytes of the object (one suffix range brings them); only
 * when the index is longer does it read once more. Immutable afterwards.
 */
#ifndef LARDER_ARCHIVE_ARCHIVE_H
#define LARDER_ARCHIVE_ARCHIVE_H

#include "archive/index.h"
#include "fetch/chunk_source.h"
#include "fetch/range_source.h"

/* What to ask for at first: holds the index of about 140,000 entries. */
#define ARCHIVE_TAIL_SIZE (3u << 19)

struct archive;

/* tail: the last tail_len bytes of source (borrowed during the call). source is used
 * during the call only. name is for messages. What is damaged is read once more, for it may
 * have been so on its way only. 0; -EBADMSG: corrupt, truncated, or (as
 * *ret_foreign, which may be NULL, tells) no archive of Larder's at all; and
 * range_source_read()'s errors. */
int archive_load(struct range_source *source, const struct call *call, const void *tail,
	size_t tail_len, const char *name, struct archive **ret, bool *ret_foreign,
	struct error *e);

/* The same of a converted archive on this machine's disk (archive/foreign.h), whose index
 * may be loose. */
int archive_load_local(struct range_source *source, const struct call *call,
	const char *name, struct archive **ret, struct error *e);

/* An archive of which only the index lies apart: `stored` is what pack_plain_index() made
 * for an object of `size` bytes (both borrowed during the call). The identity is that of
 * the index and of origin, which says which version of which object it is: there are no
 * digests. 0; -EBADMSG: the index is damaged or of another object; -ENOMEM. */
int archive_load_plain(const void *stored, size_t len, uint64_t size,
	const struct digest *origin, const char *name, struct archive **ret,
	struct error *e);

void archive_free(struct archive *a);
DEFINE_CLEANUP(cleanup_archive, struct archive, archive_free);

const char *archive_name(const struct archive *a);          /* borrowed */
const struct index *archive_index(const struct archive *a); /* borrowed */
const struct digest *archive_identity(const struct archive *a);

/* Stored frames as chunks; borrowed, as long as the archive. A plain one's have no
 * digests. */
void archive_chunks(const struct archive *a, struct chunk_table *ret);

/* The identity alone, from a tail, without parsing the index: for telling whether a
 * reopened object is the same. Same errors and extra reads as archive_load(). */
int archive_identify(struct range_source *source, const struct call *call,
	const void *tail, size_t tail_len, struct digest *ret, bool *ret_foreign,
	struct error *e);

/* Loads outer section 1: 16 bytes for each entry, malloc()ed for the caller. 0, -ENOENT
 * when the archive has none, -EBADMSG, and range_source_read()'s errors. */
int archive_content_digests(const struct archive *a, struct range_source *source,
	const struct call *call, uint8_t (**ret)[16], struct error *e);

#endif
