#include "fs/ops.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "fs/device_io.h"
#include "fs/errors.h"
#include "fs/ops_impl.h"

#define REQUEST_MOST    (1u << 20) /* bytes of one read */
#define BACKGROUND_MOST 1024       /* read-ahead requests at once (docs/threads.md) */

int ops_place(struct larderfs *l, uint64_t inode, struct place *ret)
{
	if (!inode_split(inode, &ret->slot, &ret->number))
		return ESTALE;
	if (!ret->slot)
		return keyspace_node(l->keyspace, ret->number, &ret->shown) < 0 ? ESTALE
										: 0;
	ret->generation = slots_get(&l->slots, ret->slot);
	if (!ret->generation ||
		ret->number >= index_count(generation_index(ret->generation)))
		return ESTALE;
	return 0;
}

static void note_setback(const struct job *job)
{
	struct larderfs *l = job->arg;
	setbacks_note(&l->setbacks, clock_monotonic_ns(), job->subject, job->offset,
		job->size, job->deadline_ns);
}

static void drop(struct job *job)
{
	note_setback(job);
	fuse_reply_err(job->req, EINTR);
}

void ops_run_job(fuse_req_t req, const struct job *job)
{
	struct larderfs *l = ops_fs(req);
	struct job copy = *job;
	uint64_t now_ns = clock_monotonic_ns();
	copy.req = req;
	copy.arg = l;
	copy.drop = drop;
	uint64_t usual_ns = now_ns + l->timeout_ns;
	copy.deadline_ns = setbacks_deadline(
		&l->setbacks, now_ns, job->subject, job->offset, job->size, usual_ns);
	copy.second_try = copy.deadline_ns != usual_ns;
	device_io_leave();
	gate_run(&l->gate, &copy);
}

void ops_lack_memory(fuse_req_t req)
{
	complain(&ops_fs(req)->complaints, LOG_ERROR, "", -ENOMEM,
		"no memory to answer a request");
	fuse_reply_err(req, EIO);
}

/* Each damaged frame is an event of its own; a store that fails is one event. */
static void say_why(struct larderfs *l, const char *key, int code, const char *about,
	const struct error *e)
{
	const char *why = e->text[0] ? e->text : strerror(-code);
	char sentence[2 * ERROR_TEXT_SIZE];
	snprintf(sentence, sizeof(sentence), "%s%s", about, why);
	complain(&l->complaints, LOG_ERROR, code == -EBADMSG ? why : key, code, sentence);
}

int ops_explain(const struct job *job, const char *key, int code, const char *about,
	const struct error *e, int (*errno_of)(int code))
{
	int shown = errno_of(code);
	bool let_go = code == -ECANCELED;
	if (shown == ENOENT)
		return shown;
	/* Not a second try that failed: who tries often enough would fail for ever. Who
	 * was let go did not fail; others that waited with it ask again. */
	if (let_go || !job->second_try)
		note_setback(job);
	if (!let_go)
		say_why(job->arg, key, code, about, e);
	return shown;
}

/* A miss is remembered by its name. (The kernel is not told to forget that: it would wait
 * for every lookup in the directory of keys, and each new one for it. It keeps what is
 * not open for a moment only.) */
int ops_open_doorway(
	const struct job *job, const struct shown *shown, struct generation **ret)
{
	struct larderfs *l = job->arg;
	struct request waiting;
	struct error e = {0};
	request_begin(&waiting, &l->requests, job->req, job->deadline_ns);
	int r = doorway_generation(shown->doorway, &waiting.call, ret, &e);
	request_end(&waiting);
	if (r == 0)
		return 0;
	if (r == -ENOENT)
		keyspace_lose(
			l->keyspace, shown->number, doorway_shut_until(shown->doorway));
	return ops_explain(job, doorway_key(shown->doorway), r, "", &e, errno_of_lookup);
}

void ops_entry_param(struct larderfs *l, struct generation *g, uint32_t entry,
	struct fuse_entry_param *ret)
{
	const struct index *ix = generation_index(g);
	uint64_t inode = attributes_inode(ix, generation_slot(g), entry);
	*ret = (struct fuse_entry_param){
		.ino = inode,
		.attr_timeout = KEEP_FOREVER,
		.entry_timeout = KEEP_FOREVER,
	};
	attributes_of_entry(ix, entry, inode, &l->owner, &ret->attr);
}

/* The time of change is asked for last, so that it is never older than what was shown. */
static double doorway_attributes(
	struct larderfs *l, const struct shown *shown, uint64_t inode, struct stat *ret)
{
	CLEANUP(cleanup_generation)
	struct generation *g = doorway_current(shown->doorway);
	struct timespec changed = l->since;
	if (g)
		attributes_of_entry(generation_index(g), 0, inode, &l->owner, ret);
	else
		attributes_of_directory(inode, shown->mtime_s, &l->owner, ret);
	doorway_changed(shown->doorway, &changed);
	attributes_at_doorway(&changed, ret);
	return g ? KEEP_FOREVER : KEEP_UNOPENED;
}

double ops_node_attributes(
	struct larderfs *l, const struct shown *shown, struct stat *ret)
{
	uint64_t inode = inode_make(0, shown->number);
	if (shown->doorway)
		return doorway_attributes(l, shown, inode, ret);
	attributes_of_directory(inode, shown->mtime_s, &l->owner, ret);
	return KEEP_KEYSPACE;
}

static void want(struct fuse_conn_info *conn, unsigned capability)
{
	conn->want |= conn->capable & capability;
}

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
	want(conn, FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
			   FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA);
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO |
				  FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_HANDLE_KILLPRIV |
				  FUSE_CAP_IOCTL_DIR);
	conn->max_read = REQUEST_MOST;
	conn->max_readahead = REQUEST_MOST;
	conn->max_background = BACKGROUND_MOST;
	conn->congestion_threshold = BACKGROUND_MOST / 4 * 3;
}

static void forget(struct larderfs *l, uint64_t inode, uint64_t lookups)
{
	uint32_t slot, number;
	if (!inode_split(inode, &slot, &number))
		return;
	if (!slot) {
		keyspace_forget(l->keyspace, number, lookups);
		return;
	}
	struct generation *g = slots_get(&l->slots, slot);
	if (g)
		generation_forget(g, lookups);
}

static void ops_forget(fuse_req_t req, fuse_ino_t inode, uint64_t lookups)
{
	forget(ops_fs(req), inode, lookups);
	fuse_reply_none(req);
}

static void ops_forget_multi(
	fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(ops_fs(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void ops_getattr(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *fi)
{
	struct larderfs *l = ops_fs(req);
	struct place p;
	int r = ops_place(l, inode, &p);
	if (r) {
		fuse_reply_err(req, r);
		return;
	}
	struct stat st;
	double keep = KEEP_FOREVER;
	if (p.slot)
		attributes_of_entry(
			generation_index(p.generation), p.number, inode, &l->owner, &st);
	else
		keep = ops_node_attributes(l, &p.shown, &st);
	fuse_reply_attr(req, &st, keep);
}

static void ops_readlink(fuse_req_t req, fuse_ino_t inode)
{
	struct place p;
	char target[PATH_MAX];
	size_t len;
	int r = ops_place(ops_fs(req), inode, &p);
	if (r == 0 && (!p.slot || !S_ISLNK(index_mode(
					  generation_index(p.generation), p.number))))
		r = EINVAL;
	if (r) {
		fuse_reply_err(req, r);
		return;
	}
	const char *text = index_target(generation_index(p.generation), p.number, &len);
	if (len >= sizeof(target))
		len = sizeof(target) - 1;
	memcpy(target, text, len);
	target[len] = '\0';
	fuse_reply_readlink(req, target);
}

/* "Do not ask again": the kernel then opens by itself and keeps its pages. One that
 * cannot is told the same in other words. */
static void ops_open(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *fi)
{
	fuse_reply_err(req, ENOSYS);
}

static bool add_sizes(void *arg, struct doorway *d)
{
	struct statvfs *st = arg;
	CLEANUP(cleanup_generation) struct generation *g = doorway_current(d);
	if (g) {
		const struct index *ix = generation_index(g);
		st->f_blocks += (index_tar_size(ix) + st->f_bsize - 1) / st->f_bsize;
		st->f_files += index_count(ix);
	}
	return true;
}

/* What is open counts; nothing is free. */
static void ops_statfs(fuse_req_t req, fuse_ino_t inode)
{
	struct statvfs st = {
		.f_bsize = ATTRIBUTES_BLOCK,
		.f_frsize = ATTRIBUTES_BLOCK,
		.f_namemax = NAME_MAX,
		.f_flag = ST_RDONLY | ST_NOSUID,
	};
	keyspace_each_doorway(ops_fs(req)->keyspace, add_sizes, &st);
	fuse_reply_statfs(req, &st);
}

const struct fuse_lowlevel_ops ops_table = {
	.init = ops_init,
	.lookup = ops_lookup,
	.forget = ops_forget,
	.forget_multi = ops_forget_multi,
	.getattr = ops_getattr,
	.readlink = ops_readlink,
	.open = ops_open,
	.opendir = ops_open,
	.read = ops_read,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.statfs = ops_statfs,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
};
