#include "archive/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "archive/dir_cache.h"
#include "archive/doubts.h"
#include "archive/frame_queue.h"
#include "archive/index_writer.h"
#include "archive/pack_tail.h"
#include "archive/walk.h"
#include "fetch/base/vec.h"

#define THREADS_MAX       256
#define WORKER_LEAST      (DIR_CACHE_LEAST + 1) /* descriptors: of directories, and a file */
#define WORKER_MOST       (DIR_CACHE_SIZE + 1)
#define WORKERS_HOLD      (THREADS_MAX * WORKER_MOST)
#define LEVEL_MAX         19
#define WALK_BATCH        64 /* entries between two looks at finished frames */
#define VERIFIED_AT_ONCE  64 /* entries between two looks at the call */
#define PROGRESS_INTERVAL (NS_PER_SECOND / 5)

DEFINE_VEC(thread_vec, pthread_t);

struct pack {
	int rootfd; /* borrowed, as all down to sink_arg */
	const char *name;
	const struct pack_options *options;
	const struct call *call;
	pack_sink_fn *sink;
	void *sink_arg;

	struct tree *tree;         /* owned */
	struct glob_set *excludes; /* owned */
	struct walk *walk;         /* owned; NULL once it has ended */
	struct planner planner;
	struct pack_tail *tail;    /* owned; made when the walk has ended */
	struct frame_queue *queue; /* owned */
	struct thread_vec workers;
	size_t dirs_each; /* descriptors of a worker, for directories */
	struct index_frame_vec frames; /* written to the sink */
	struct frame_plan_vec plans;   /* of the same */
	struct doubt_vec doubts;
	struct pack_result result;     /* as far as it is known */
	struct pack_progress progress;
	uint64_t next_progress_ns; /* monotonic */
};

/* A worker's way to its work. */
struct worker {
	struct frame_queue *queue; /* borrowed */
	struct packer *packer;     /* owned */
};

static void *run_worker(void *arg)
{
	struct worker w = *(struct worker *)arg;
	free(arg);
	struct frame_slot *slot;
	while ((slot = frame_queue_take(w.queue))) {
		slot->result =
			packer_make(w.packer, &slot->plan, &slot->frame, &slot->error);
		frame_queue_done(w.queue, slot);
	}
	packer_free(w.packer);
	return NULL;
}

static void free_worker(struct worker **w)
{
	if (*w)
		packer_free((*w)->packer);
	free(*w);
	*w = NULL;
}

/* Signals are for the program's own threads. */
static int spawn(struct worker *w, pthread_t *ret)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(ret, NULL, run_worker, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static int start_worker(struct pack *p)
{
	CLEANUP(free_worker) struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	struct packer_options options = {
		.rootfd = p->rootfd,
		.tree = p->tree,
		.top = p->name,
		.dirs = p->dirs_each,
		.owner = p->options->preserve_owner,
		.level = p->options->level,
	};
	w->queue = p->queue;
	int r = packer_new(&options, &w->packer);
	if (r == 0)
		r = thread_vec_reserve(&p->workers, p->workers.len + 1);
	if (r == 0)
		r = spawn(w, &p->workers.data[p->workers.len]);
	if (r < 0)
		return r;
	p->workers.len++;
	steal_pointer(w);
	return 0;
}

static unsigned thread_count(unsigned wanted)
{
	cpu_set_t cpus;
	if (!wanted && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		wanted = (unsigned)CPU_COUNT(&cpus);
	if (!wanted)
		wanted = 1;
	return wanted < THREADS_MAX ? wanted : THREADS_MAX;
}

/* Descriptors for all workers: the other half is for the walk and the store. */
static size_t descriptors_for_workers(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur > 2 * WORKERS_HOLD)
		return WORKERS_HOLD;
	return (size_t)files.rlim_cur / 2;
}

/* Where descriptors are few, each worker keeps fewer directories open, as to open one
 * again costs little; and only where that is not enough there are fewer workers. */
static void share_descriptors(size_t held, unsigned *threads, size_t *ret_dirs_each)
{
	if (*threads > held / WORKER_LEAST)
		*threads = held < WORKER_LEAST ? 1 : (unsigned)(held / WORKER_LEAST);
	size_t each = held / *threads;
	*ret_dirs_each = each < WORKER_LEAST  ? DIR_CACHE_LEAST
			 : each > WORKER_MOST ? DIR_CACHE_SIZE
					      : each - 1;
}

/* One worker is enough to go on. */
static int start_workers(struct pack *p, unsigned count, struct error *e)
{
	int r = 0;
	for (unsigned i = 0; i < count && r == 0; i++)
		r = start_worker(p);
	if (p->workers.len)
		return 0;
	return error_set_errno(e, r, "cannot start a thread to pack '%s'", p->name);
}

static void stop_workers(struct pack *p)
{
	if (p->queue)
		frame_queue_stop(p->queue);
	for (size_t i = 0; i < p->workers.len; i++)
		pthread_join(p->workers.data[i], NULL);
	thread_vec_finish(&p->workers);
}

static void finish(struct pack *p)
{
	stop_workers(p);
	frame_queue_free(p->queue);
	planner_finish(&p->planner);
	pack_tail_free(p->tail);
	walk_free(p->walk);
	glob_set_free(p->excludes);
	tree_free(p->tree);
	index_frame_vec_finish(&p->frames);
	frame_plan_vec_finish(&p->plans);
	doubt_vec_finish(&p->doubts);
}

static int begin_walk(struct pack *p, struct error *e)
{
	const struct pack_options *o = p->options;
	struct walk_options options = {
		.keep_set_id = o->preserve_owner,
		.fixed_mtime = o->reproducible,
		.mtime_s = o->reproducible_mtime_s,
		.excludes = o->exclude ? p->excludes : NULL,
		.cache = o->cache,
		.warn = o->warn,
		.arg = o->arg,
	};
	int r = walk_new(p->rootfd, p->name, p->tree, &options, &p->walk, e);
	return r < 0 ? r : planner_add(&p->planner, 0, e);
}

static int begin(struct pack *p, struct error *e)
{
	unsigned threads = thread_count(p->options->threads);
	share_descriptors(descriptors_for_workers(), &threads, &p->dirs_each);
	p->tree = tree_new();
	int r = p->tree ? glob_set_new(p->options->exclude, &p->excludes) : -ENOMEM;
	if (r == 0)
		r = frame_queue_new(8 * threads + 8, &p->queue);
	if (r < 0)
		return error_set_errno(e, r, "cannot pack '%s'", p->name);
	planner_init(&p->planner, p->tree, p->name, p->options->preserve_owner);
	r = begin_walk(p, e);
	return r < 0 ? r : start_workers(p, threads, e);
}

static int hand_plans_on(struct pack *p, struct error *e)
{
	struct frame_plan_vec *ready = &p->planner.ready;
	int r = frame_queue_add(p->queue, ready->data, ready->len);
	ready->len = 0;
	return r < 0 ? error_set_errno(e, r, "cannot pack '%s'", p->name) : 0;
}

static void count_entry(struct pack *p, uint32_t i)
{
	const struct tree_entry *entry = tree_entry(p->tree, i);
	p->result.entries++;
	p->result.files += S_ISREG(entry->mode);
	p->result.content_bytes += member_content(entry);
	p->progress.entries = p->result.entries;
}

static int tail_error(const struct pack *p, int r, struct error *e)
{
	if (r == -EFBIG)
		return error_set(e, r, "'%s' is past what an archive can hold", p->name);
	return r < 0 ? error_set_errno(e, r, "cannot index '%s'", p->name) : 0;
}

static int end_walk(struct pack *p, struct error *e)
{
	p->result.left_out = walk_left_out(p->walk);
	p->progress.total_bytes = p->result.content_bytes;
	walk_free(p->walk);
	p->walk = NULL;
	int r = planner_end(&p->planner, e);
	if (r == 0)
		r = hand_plans_on(p, e);
	if (r < 0)
		return r;
	struct index_facts facts = {
		.tree = p->tree,
		.owners = p->options->preserve_owner,
		.tar_size = p->planner.tar_size,
		.frame_count = p->planner.frames,
		.outer_count = 1,
	};
	r = pack_tail_new(&facts, &p->tail);
	return tail_error(p, r, e);
}

static int walk_on(struct pack *p, struct error *e)
{
	for (int i = 0; i < WALK_BATCH && p->walk; i++) {
		bool more = false;
		int r = walk_next(p->walk, &more, e);
		if (r == 0 && more) {
			count_entry(p, tree_count(p->tree) - 1);
			r = planner_add(&p->planner, tree_count(p->tree) - 1, e);
		} else if (r == 0) {
			r = end_walk(p, e);
		}
		if (r < 0)
			return r;
	}
	return hand_plans_on(p, e);
}

static int put(struct pack *p, const void *data, size_t len, struct error *e)
{
	int r = p->sink(p->sink_arg, data, len, e);
	if (r == 0)
		p->result.stored_bytes += len;
	p->progress.stored_bytes = p->result.stored_bytes;
	return r;
}

static int write_frame(struct pack *p, const struct frame_slot *slot, struct error *e)
{
	if (slot->result < 0) {
		error_copy(e, &slot->error);
		return slot->result;
	}
	struct index_frame frame = {
		.stored = (uint32_t)slot->frame.len,
		.raw = slot->frame.raw,
		.digest = slot->frame.digest,
	};
	int r = index_frame_vec_push(&p->frames, frame);
	if (r == 0)
		r = frame_plan_vec_push(&p->plans, slot->plan);
	if (r < 0)
		return error_set_errno(e, r, "cannot pack '%s'", p->name);
	p->progress.packed_bytes += slot->plan.content;
	return put(p, slot->frame.data, slot->frame.len, e);
}

static void report(struct pack *p)
{
	uint64_t now = clock_monotonic_ns();
	if (!p->options->progress || now < p->next_progress_ns)
		return;
	p->next_progress_ns = now + PROGRESS_INTERVAL;
	p->options->progress(p->options->arg, &p->progress);
}

static int give_up(struct pack *p, int r, struct error *e)
{
	return error_set(e, r, "packing '%s' was %s", p->name,
		r == -ETIMEDOUT ? "not done in time" : "interrupted");
}

/* One thing at a time, what unblocks workers first. */
static int step(struct pack *p, bool *ret_done, struct error *e)
{
	struct frame_slot *slot = frame_queue_peek(p->queue);
	if (slot) {
		int r = write_frame(p, slot, e);
		frame_queue_pop(p->queue);
		return r;
	}
	if (p->walk)
		return walk_on(p, e);
	if (!pack_tail_settled(p->tail))
		return tail_error(p, pack_tail_advance(p->tail), e);
	*ret_done = frame_queue_empty(p->queue);
	int r = *ret_done ? 0 : frame_queue_wait(p->queue, p->call);
	return r < 0 ? give_up(p, r, e) : 0;
}

static int write_frames(struct pack *p, struct error *e)
{
	bool done = false;
	while (!done) {
		int r = call_check(p->call);
		if (r < 0)
			return give_up(p, r, e);
		r = step(p, &done, e);
		if (r < 0)
			return r;
		report(p);
	}
	return 0;
}

/* Content is looked at later, xattrs now. Of further names the first one tells. */
static int verify_relinked(struct pack *p, int parent, uint32_t i)
{
	const struct tree_entry *entry = tree_entry(p->tree, i);
	CLEANUP(cleanup_free) struct xattrs *now = NULL;
	if (entry->primary != TREE_NO_LINK)
		return 0;
	int r = xattrs_read(parent, entry->name, &now);
	if (r < 0)
		return r == -ENOMEM ? r : -EBUSY;
	return xattrs_equal(entry->xattrs, now) ? doubts_add(&p->doubts, p->tree, i)
						: -EBUSY;
}

static int verify_entry(struct pack *p, struct dir_cache *dirs, uint32_t i)
{
	const struct tree_entry *entry = tree_entry(p->tree, i);
	struct stat st;
	int parent;
	int r = dir_cache_open(dirs, entry->parent, &parent);
	if (r < 0)
		return r == -ENOMEM ? r : -EBUSY;
	if (fstatat(parent, i ? entry->name : "", &st,
		    AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -EBUSY;
	/* Not the inode: an overlay numbers a directory anew when the kernel has dropped
	 * it from memory (Documentation/filesystems/overlayfs.rst, "Inode properties"). */
	bool same = (st.st_mode & S_IFMT) == (entry->mode & S_IFMT) &&
		    tree_stamp(&st) == entry->stamp;
	if (same)
		return 0;
	return tree_is_relinked(entry, &st) ? verify_relinked(p, parent, i) : -EBUSY;
}

static int refuse_changed(const struct pack *p, uint32_t i, struct error *e)
{
	char label[600];
	tree_label(p->tree, p->name, i, NULL, label, sizeof(label));
	return error_set(e, -EBUSY, "'%s' changed while it was being packed", label);
}

static int compare_frame(
	const struct pack *p, size_t i, const struct frame_slot *slot, struct error *e)
{
	if (slot->result < 0) {
		error_copy(e, &slot->error);
		return slot->result;
	}
	if (digest_equal(&slot->frame.digest, &p->frames.data[i].digest))
		return 0;
	return refuse_changed(p, doubts_confirmed(&p->doubts, p->tree, &slot->plan), e);
}

static int verify_frame(struct pack *p, size_t i, struct error *e)
{
	struct frame_slot *slot;
	int r = call_check(p->call);
	while (r == 0 && !(slot = frame_queue_peek(p->queue)))
		r = frame_queue_wait(p->queue, p->call);
	if (r < 0)
		return give_up(p, r, e);
	r = compare_frame(p, i, slot, e);
	frame_queue_pop(p->queue);
	return r;
}

/* The same plan makes the same bytes of the same files. */
static int verify_doubts(struct pack *p, struct error *e)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->plans.len; i++)
		if (doubts_concern(&p->doubts, &p->plans.data[i]))
			r = frame_queue_add(p->queue, &p->plans.data[i], 1);
	if (r < 0)
		return error_set_errno(e, r, "cannot pack '%s'", p->name);
	for (size_t i = 0; r == 0 && i < p->plans.len; i++)
		if (doubts_concern(&p->doubts, &p->plans.data[i]))
			r = verify_frame(p, i, e);
	return r;
}

/* When all has been read, all must still be what the walk saw: then it was so at one
 * moment. Each file was compared when it was read, but what is read first may change
 * together with what is walked last. A directory that is what it was has neither lost nor
 * won an entry. */
static int verify_tree(struct pack *p, struct error *e)
{
	CLEANUP(cleanup_dir_cache)
	struct dir_cache *dirs = dir_cache_new(p->rootfd, p->tree, DIR_CACHE_SIZE);
	int r = dirs ? 0 : -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < tree_count(p->tree); i++) {
		r = verify_entry(p, dirs, i);
		if (r == 0 && i % VERIFIED_AT_ONCE == 0 && (r = call_check(p->call)) < 0)
			return give_up(p, r, e);
		if (r == -EBUSY)
			return refuse_changed(p, i, e);
	}
	if (r < 0)
		return error_set_errno(e, r, "cannot pack '%s'", p->name);
	return verify_doubts(p, e);
}

static int write_tail(struct pack *p, struct error *e)
{
	const struct buf *bytes;
	int r = pack_tail_finish(p->tail, p->frames.data, p->result.stored_bytes, &bytes,
		&p->result.identity);
	return r < 0 ? tail_error(p, r, e) : put(p, bytes->data, bytes->len, e);
}

static int pack(struct pack *p, struct error *e)
{
	int r = begin(p, e);
	if (r < 0)
		return r;
	count_entry(p, 0);
	r = write_frames(p, e);
	if (r == 0)
		r = verify_tree(p, e);
	stop_workers(p);
	if (r == 0)
		r = write_tail(p, e);
	if (r == 0 && p->options->progress)
		p->options->progress(p->options->arg, &p->progress);
	return r;
}

int pack_directory(int dirfd, const char *name, const struct pack_options *options,
	const struct call *call, pack_sink_fn *sink, void *sink_arg,
	struct pack_result *ret, struct error *e)
{
	if (options->level < 1 || options->level > LEVEL_MAX)
		return error_set(e, -EINVAL, "there is no compression level %d: 1 to %d",
			options->level, LEVEL_MAX);
	CLEANUP(finish)
	struct pack p = {
		.rootfd = dirfd,
		.name = name,
		.options = options,
		.call = call,
		.sink = sink,
		.sink_arg = sink_arg,
	};
	int r = pack(&p, e);
	if (r == 0)
		*ret = p.result;
	return r;
}
