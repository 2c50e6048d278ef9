/*
 * A key's pinned object that survives a change of ETag.
 *
 * Wraps an open object. When a read finds that the object is not the pinned one any more
 * (-ESTALE), the whole object is reopened with one suffix range, once however many reads
 * met it, and the judge decides:
 *
 *     read -> -ESTALE -> reopen -> judge(fresh) --- 0 ---> fresh is the pin; reads go on
 *                          |            \-- -ESTALE ---> superseded: this and later
 *                          |                             reads of it are -ESTALE
 *                          \-- -ENOENT ---> vanished: reads are -ENOENT, asked again after 5 s
 *                          \-- other  ----> this read fails; the next one tries again
 *
 * A guess (PRIORITY_PREFETCH) reopens nothing: it gets -ESTALE, and leaves the rest to the
 * next demand. At most PINNED_REOPENS reopens serve one read, so that a store whose ETag differs on
 * each answer ends in -EIO. Reads hold a reference on the object they use; an object is
 * freed when its last read ends.
 *
 * The one mutex guards the current object, its reference count and the reopen in flight;
 * it is never held over I/O or the judge.
 */
#ifndef LARDER_FETCH_PINNED_SOURCE_H
#define LARDER_FETCH_PINNED_SOURCE_H

#include "fetch/store.h"

#define PINNED_REOPENS 4

/* Is this freshly opened object the same content? 0: yes. -ESTALE: no; the judge may keep
 * *fresh by stealing the pointer (setting it to NULL). Other errors: could not tell.
 * Called by one thread at a time, without locks held. */
typedef int pinned_judge_fn(void *arg, const struct call *call, struct object **fresh,
	struct error *e);

/* Takes over object (also on failure). store and key (copied) serve to reopen; tail_len
 * as for store_open_object(). 0 or -ENOMEM. */
int pinned_source_new(struct store *store, const char *key, struct object *object,
	size_t tail_len, pinned_judge_fn *judge, void *arg, struct range_source **ret);

/* The pin in force now, copied out. */
void pinned_source_pin(struct range_source *s, struct pin *ret);

/* How often the object was reopened. */
uint64_t pinned_source_reopens(struct range_source *s);

/* True once a reopen has found different content: the generation is superseded. */
bool pinned_source_superseded(struct range_source *s);

#endif
