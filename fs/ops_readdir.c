#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/errors.h"
#include "fs/ops_impl.h"

#define UNKNOWN_INODE 0xffffffff /* what libfuse shows for "not known" */
#define DOTS          2          /* positions of "." and ".." */

/* An answer that is being filled. */
struct listing_reply {
	fuse_req_t req;
	struct larderfs *l;
	bool plus;
	char *data; /* owned */
	size_t used, size;
	struct generation *counted; /* whose entries become known to the kernel */
	uint64_t lookups;           /* how many */
};

static bool reply_begin(struct listing_reply *p, fuse_req_t req, bool plus, size_t size)
{
	*p = (struct listing_reply){
		.req = req, .l = ops_fs(req), .plus = plus, .size = size};
	p->data = malloc(size ? size : 1);
	if (!p->data)
		ops_lack_memory(req);
	return p->data;
}

static void reply_send(struct listing_reply *p)
{
	if (p->lookups)
		generation_lookup(p->counted, p->lookups);
	int r = fuse_reply_buf(p->req, p->data, p->used);
	if (r < 0 && p->lookups)
		generation_forget(p->counted, p->lookups);
	free(p->data);
}

static void reply_fail(struct listing_reply *p, int shown)
{
	fuse_reply_err(p->req, shown);
	free(p->data);
}

/* Adds one name; `after` is the position behind it. False: it has no room any more. */
static bool add(struct listing_reply *p, const char *name,
	const struct fuse_entry_param *param, uint64_t after)
{
	char *at = p->data + p->used;
	size_t left = p->size - p->used;
	size_t need = p->plus ? fuse_add_direntry_plus(
					p->req, at, left, name, param, (off_t)after)
			      : fuse_add_direntry(p->req, at, left, name, &param->attr,
					(off_t)after);
	if (need > left)
		return false;
	p->used += need;
	return true;
}

/* A name whose type is all that is told. */
static bool add_plain(struct listing_reply *p, const char *name, uint64_t inode,
	mode_t mode, uint64_t after)
{
	const struct fuse_entry_param param = {
		.attr = {.st_ino = inode, .st_mode = mode},
	};
	return add(p, name, &param, after);
}

static bool add_dots(struct listing_reply *p, uint64_t position, uint64_t mark,
	uint64_t self, uint64_t parent)
{
	if (position < 1 && !add_plain(p, ".", self, S_IFDIR, mark | 1))
		return false;
	return position >= DOTS || add_plain(p, "..", parent, S_IFDIR, mark | DOTS);
}

/* A directory inside a generation, from position on. mark is or-ed into positions.
 * unless `known`, names are told without becoming known to the kernel. */
struct inside {
	struct generation *g;
	uint32_t directory;
	uint64_t self, parent; /* inodes */
	uint64_t mark;
	bool known;
};

static bool add_child(
	struct listing_reply *p, const struct inside *in, uint32_t entry, uint64_t after)
{
	const struct index *ix = generation_index(in->g);
	char name[NAME_MAX + 1];
	size_t len;
	const char *text = index_name(ix, entry, &len);
	memcpy(name, text, len);
	name[len] = '\0';
	if (!p->plus || !in->known)
		return add_plain(p, name,
			attributes_inode(ix, generation_slot(in->g), entry),
			index_mode(ix, entry), after);
	struct fuse_entry_param param;
	ops_entry_param(p->l, in->g, entry, &param);
	if (!add(p, name, &param, after))
		return false;
	p->counted = in->g;
	p->lookups++;
	return true;
}

static void list_inside(
	struct listing_reply *p, const struct inside *in, uint64_t position)
{
	uint32_t count;
	uint32_t first = index_children(generation_index(in->g), in->directory, &count);
	bool room = add_dots(p, position, in->mark, in->self, in->parent);
	uint64_t i = position > DOTS ? position - DOTS : 0;
	for (; room && i < count; i++)
		room = add_child(p, in, first + (uint32_t)i, in->mark | (i + DOTS + 1));
	if (p->lookups)
		marks_set(generation_marks(in->g), in->directory);
	/* Feeding may wait for a read that is at the gate, which must not be for long. */
	if (position >= DOTS + (uint64_t)count && gate_has_room(&p->l->gate))
		feeder_listed(&p->l->feeder, in->g, in->directory);
	reply_send(p);
}

static void list_generation(
	struct listing_reply *p, const struct place *place, uint64_t inode, off_t offset)
{
	const struct index *ix = generation_index(place->generation);
	if (!S_ISDIR(index_mode(ix, place->number))) {
		reply_fail(p, ENOTDIR);
		return;
	}
	const struct inside in = {
		.g = place->generation,
		.directory = place->number,
		.self = inode,
		.parent = inode_make(place->slot, index_parent(ix, place->number)),
		.known = !generation_retired(place->generation),
	};
	list_inside(p, &in, (uint64_t)offset);
}

/* A position at a doorway holds the slot of the generation it was taken in, so that a
 * listing goes on in the tree it began in. */
static void list_doorway(struct listing_reply *p, struct generation *current,
	const struct shown *shown, off_t offset)
{
	uint32_t slot = (uint32_t)((uint64_t)offset >> INODE_SLOT_SHIFT);
	CLEANUP(cleanup_generation) struct generation *begun = NULL;
	struct inside in = {
		.g = current,
		.self = inode_make(0, shown->number),
		.parent = UNKNOWN_INODE,
		.known = true,
	};
	if (offset && slot != generation_slot(current)) {
		begun = doorway_live(shown->doorway, slot);
		if (!begun) {
			reply_fail(p, ESTALE);
			return;
		}
		in.g = begun;
		in.known = false;
	}
	in.mark = (uint64_t)generation_slot(in.g) << INODE_SLOT_SHIFT;
	list_inside(p, &in, (uint32_t)offset);
}

static void list_keys(struct listing_reply *p, const struct shown *shown,
	const struct listing *listing, uint64_t inode, off_t offset)
{
	uint64_t position = (uint64_t)offset;
	bool room = add_dots(p, position, 0, inode, UNKNOWN_INODE);
	struct larderfs *l = p->l;
	struct listed it;
	for (size_t i = listing_after(listing, position);
		room && i < listing_count(listing); i++) {
		listing_at(listing, i, &it);
		room = add_plain(p, it.name, UNKNOWN_INODE, S_IFDIR, it.position);
	}
	reply_send(p);
	notifier_expire(l->notifier, inode, clock_monotonic_ns() + KEYSPACE_FRESH_NS);
}

/* readdir(3) takes ENOENT for the end of a directory that was removed: whoever lists a
 * key that is not there any more would be shown an empty one. */
static int errno_of_listing(int shown)
{
	return shown == ENOENT ? ESTALE : shown;
}

static void wait_for_doorway(
	struct job *job, struct listing_reply *p, const struct shown *shown)
{
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	int r = ops_open_doorway(job, shown, &g);
	if (r)
		reply_fail(p, errno_of_listing(r));
	else
		list_doorway(p, g, shown, (off_t)job->offset);
}

static void wait_for_keys(
	struct job *job, struct listing_reply *p, const struct shown *shown)
{
	struct larderfs *l = job->arg;
	struct request waiting;
	CLEANUP(cleanup_listing) struct listing *listing = NULL;
	struct error e = {0};
	request_begin(&waiting, &l->requests, job->req, job->deadline_ns);
	int r = keyspace_listing(
		l->keyspace, &waiting.call, shown->number, true, &listing, &e);
	request_end(&waiting);
	if (r < 0)
		reply_fail(p, ops_explain(job, "", r, "", &e, errno_of_lookup));
	else
		list_keys(p, shown, listing, job->inode, (off_t)job->offset);
}

static void run_readdir(struct job *job)
{
	struct listing_reply p;
	struct place place;
	if (!reply_begin(&p, job->req, job->plus, job->size))
		return;
	int r = ops_place(job->arg, job->inode, &place);
	if (r)
		reply_fail(&p, r);
	else if (place.shown.doorway)
		wait_for_doorway(job, &p, &place.shown);
	else
		wait_for_keys(job, &p, &place.shown);
}

/* Answers from what is at hand; false: the store has to be asked. */
static bool list_node(
	struct listing_reply *p, const struct shown *shown, uint64_t inode, off_t offset)
{
	if (shown->doorway) {
		CLEANUP(cleanup_generation)
		struct generation *g = doorway_current(shown->doorway);
		if (g)
			list_doorway(p, g, shown, offset);
		return g;
	}
	CLEANUP(cleanup_listing) struct listing *listing = NULL;
	int r = keyspace_listing(
		p->l->keyspace, NULL, shown->number, false, &listing, NULL);
	if (r == 0)
		list_keys(p, shown, listing, inode, offset);
	return r == 0;
}

static void list(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset, bool plus)
{
	struct listing_reply p;
	struct place place;
	if (!reply_begin(&p, req, plus, size))
		return;
	int r = ops_place(p.l, inode, &place);
	if (r) {
		reply_fail(&p, r);
	} else if (place.slot) {
		list_generation(&p, &place, inode, offset);
	} else if (!list_node(&p, &place.shown, inode, offset)) {
		const struct job job = {
			.run = run_readdir,
			.inode = inode,
			.size = size,
			.offset = (uint64_t)offset,
			.subject = setbacks_subject(inode, ""),
			.plus = plus,
		};
		free(p.data);
		ops_run_job(req, &job);
	}
}

void ops_readdir(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	list(req, inode, size, offset, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	list(req, inode, size, offset, true);
}
