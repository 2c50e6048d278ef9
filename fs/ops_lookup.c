#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/errors.h"
#include "fs/ops_impl.h"

static void answer_absent(fuse_req_t req, double keep)
{
	const struct fuse_entry_param none = {.entry_timeout = keep};
	fuse_reply_entry(req, &none);
}

/* The lookup is counted before the kernel knows of it; an answer nobody takes any more
 * takes the count back. */
static void answer_entry(
	fuse_req_t req, struct larderfs *l, struct generation *g, uint32_t entry)
{
	struct fuse_entry_param param;
	ops_entry_param(l, g, entry, &param);
	generation_lookup(g, 1);
	if (fuse_reply_entry(req, &param) < 0)
		generation_forget(g, 1);
}

/* Names of an old generation are told for one use, or they would keep it alive. The
 * kernel lets go of the name once the lookup, which holds its directory, has ended. */
static void lapse_if_retired(struct larderfs *l, const struct generation *g,
	uint32_t directory, const char *name)
{
	if (directory && generation_retired(g))
		notifier_lapse(
			l->notifier, inode_make(generation_slot(g), directory), name);
}

static void lookup_in_generation(fuse_req_t req, struct larderfs *l, struct generation *g,
	uint32_t directory, const char *name)
{
	uint32_t entry;
	lapse_if_retired(l, g, directory, name);
	int r = index_lookup(generation_index(g), directory, name, strlen(name), &entry);
	if (r == 0)
		answer_entry(req, l, g, entry);
	else if (r == -ENOENT)
		answer_absent(req, directory ? KEEP_FOREVER : KEEP_ABSENT_AT_DOORWAY);
	else
		fuse_reply_err(req, -r);
}

/* The keyspace has counted the lookup. */
static void answer_node(fuse_req_t req, struct larderfs *l, const struct shown *shown)
{
	struct fuse_entry_param param = {
		.ino = inode_make(0, shown->number),
	};
	param.attr_timeout = ops_node_attributes(l, shown, &param.attr);
	param.entry_timeout =
		param.attr_timeout < KEEP_KEYSPACE ? param.attr_timeout : KEEP_KEYSPACE;
	uint32_t number = shown->number;
	if (fuse_reply_entry(req, &param) < 0)
		keyspace_forget(l->keyspace, number, 1);
}

/* A name below a doorway that has to be opened first. */
static void wait_at_doorway(struct job *job, const struct shown *shown)
{
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	int r = ops_open_doorway(job, shown, &g);
	if (r)
		fuse_reply_err(job->req, r);
	else
		lookup_in_generation(job->req, job->arg, g, 0, job->name);
}

/* A name that the store has to be asked about. */
static void wait_for_name(struct job *job, const struct shown *directory)
{
	struct larderfs *l = job->arg;
	struct request waiting;
	struct shown found;
	struct error e = {0};
	request_begin(&waiting, &l->requests, job->req, job->deadline_ns);
	int r = keyspace_lookup(l->keyspace, &waiting.call, directory->number, job->name,
		true, &found, &e);
	request_end(&waiting);
	if (r == 0)
		answer_node(job->req, l, &found);
	else if (r == -ENOENT)
		answer_absent(job->req, KEEP_KEYSPACE);
	else
		fuse_reply_err(job->req,
			ops_explain(job, job->name, r, "", &e, errno_of_lookup));
}

static void run_lookup(struct job *job)
{
	struct place p;
	int r = ops_place(job->arg, job->inode, &p);
	if (r)
		fuse_reply_err(job->req, r);
	else if (p.shown.doorway)
		wait_at_doorway(job, &p.shown);
	else
		wait_for_name(job, &p.shown);
}

static void run_later(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct job job = {
		.run = run_lookup,
		.inode = parent,
		.size = 1,
		.subject = setbacks_subject(parent, name),
	};
	strcpy(job.name, name);
	ops_run_job(req, &job);
}

static void lookup_in_node(fuse_req_t req, struct larderfs *l, fuse_ino_t parent,
	const struct shown *shown, const char *name)
{
	if (shown->doorway) {
		CLEANUP(cleanup_generation)
		struct generation *g = doorway_current(shown->doorway);
		if (g)
			lookup_in_generation(req, l, g, 0, name);
		else
			run_later(req, parent, name);
		return;
	}
	struct shown found;
	int r = keyspace_lookup(
		l->keyspace, NULL, shown->number, name, false, &found, NULL);
	if (r == 0)
		answer_node(req, l, &found);
	else if (r == -ENOENT)
		answer_absent(req, 0);
	else
		run_later(req, parent, name);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct larderfs *l = ops_fs(req);
	struct place p;
	int r = strlen(name) < JOB_NAME ? ops_place(l, parent, &p) : ENAMETOOLONG;
	if (r)
		fuse_reply_err(req, r);
	else if (p.slot)
		lookup_in_generation(req, l, p.generation, p.number, name);
	else
		lookup_in_node(req, l, parent, &p.shown, name);
}
