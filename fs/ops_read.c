#include <errno.h>

#include "fs/errors.h"
#include "fs/ops_impl.h"

/* Once enough was read of a key that it does not count, its content digests are fetched:
 * they serve its readers should it be overwritten. */
static void fetch_digests(struct larderfs *l, struct generation *g)
{
	struct request own;
	struct error e = {0};
	request_begin(&own, &l->requests, NULL, clock_monotonic_ns() + l->timeout_ns);
	own.call.priority = PRIORITY_PREFETCH;
	int r = generation_guess_digests(g, &own.call, &e);
	request_end(&own);
	if (r < 0 && r != -EAGAIN && r != -ENOENT)
		log_debug("content digests not loaded: %s", e.text);
}

static void answer_view(fuse_req_t req, struct larderfs *l, struct view *view)
{
	struct iovec iov[VIEW_SPANS];
	int count = view_iov(view, iov);
	/* First: who has its bytes and asks for the status finds the read in it. */
	atomic_fetch_add_explicit(&l->reads, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&l->read_bytes, view->len, memory_order_relaxed);
	fuse_reply_iov(req, iov, count);
	view_release(view);
}

static void answer_failure(const struct job *job, struct generation *g, uint32_t entry,
	int code, const struct error *e)
{
	struct larderfs *l = job->arg;
	struct error about;
	char path[256];
	atomic_fetch_add(&l->read_errors, 1);
	index_path(generation_index(g), entry, path, sizeof(path));
	error_set(&about, code, "'%s' at byte %llu: ", path,
		(unsigned long long)job->offset);
	int shown = ops_explain(
		job, doorway_key(doorway_of(g)), code, about.text, e, errno_of_read);
	fuse_reply_err(job->req, shown);
}

static void run_read(struct job *job)
{
	struct larderfs *l = job->arg;
	struct place p;
	int r = ops_place(l, job->inode, &p);
	if (r || !p.slot) {
		fuse_reply_err(job->req, r ? r : EISDIR);
		return;
	}
	CLEANUP(cleanup_generation) struct generation *g = p.generation;
	generation_ref(g);
	struct request waiting;
	struct view view;
	struct error e = {0};
	request_begin(&waiting, &l->requests, job->req, job->deadline_ns);
	r = doorway_view(g, &waiting.call, p.number, job->offset, job->size, &view, &e);
	request_end(&waiting);
	if (r < 0) {
		answer_failure(job, g, p.number, r, &e);
	} else {
		/* Feeding may wait for a read that is at the gate: not with this answer. */
		if (gate_has_room(&l->gate))
			feeder_read(&l->feeder, g, p.number);
		else
			marks_set(generation_marks(g), p.number); /* it was read */
		answer_view(job->req, l, &view);
		fetch_digests(l, g);
	}
}

void ops_read(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	const struct job job = {
		.run = run_read,
		.inode = inode,
		.size = size,
		.offset = (uint64_t)offset,
		.subject = inode,
	};
	ops_run_job(req, &job);
}
