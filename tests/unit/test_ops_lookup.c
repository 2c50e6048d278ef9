/* What the kernel is told of names in the keyspace, and for how long, with libfuse's part
 * and the clock played here (linked with --wrap). */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/larderfs.h"
#include "fs/ops.h"
#include "tests/unit/shelf.h"

#define TOP          1 /* the mountpoint's inode */
#define FIVE_SECONDS (5 * NS_PER_SECOND)

static _Atomic uint64_t now_ns;

uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void)
{
	return now_ns;
}

/* --- libfuse's part --------------------------------------------------------------------
 */

struct fuse_req {
	struct larderfs *fs;
	struct fuse_ctx ctx;
	struct fuse_entry_param entry;
	int answer; /* 0: entry; -1: none yet */
};

void *__wrap_fuse_req_userdata(fuse_req_t req);
void *__wrap_fuse_req_userdata(fuse_req_t req)
{
	return req->fs;
}

const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req);
const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req)
{
	return &req->ctx;
}

void __wrap_fuse_req_interrupt_func(
	fuse_req_t req, fuse_interrupt_func_t func, void *data);
void __wrap_fuse_req_interrupt_func(
	fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
}

int __wrap_fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *entry);
int __wrap_fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *entry)
{
	assert_int_equal(req->answer, -1);
	req->entry = *entry;
	req->answer = 0;
	return 0;
}

int __wrap_fuse_reply_err(fuse_req_t req, int err);
int __wrap_fuse_reply_err(fuse_req_t req, int err)
{
	assert_int_equal(req->answer, -1);
	req->answer = err;
	return 0;
}

/* --- a mount of all keys ---------------------------------------------------------------
 */

struct world {
	struct memory_store *store;
	struct larderfs fs;
};

static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
}

static void on_succeeded(
	void *arg, uint64_t inode, struct generation *old, struct generation *fresh)
{
}

static void forget_names(void *arg, uint64_t directory, const char *name, size_t len)
{
}

static void forget_inode(void *arg, uint64_t inode)
{
}

static struct world *world_new(void)
{
	static const struct notifier_ops silent = {forget_names, forget_inode, NULL};
	struct world *w = calloc(1, sizeof(*w));
	struct larderfs *l = &w->fs;
	now_ns = 77 * NS_PER_SECOND;
	w->store = memory_store_new();
	l->timeout_ns = NS_PER_SECOND;
	l->supply = (struct supply){
		.store = &w->store->base,
		.slots = &l->slots,
		.frame_budget = 1 << 20,
	};
	l->hooks = (struct doorway_hooks){.succeeded = on_succeeded, .opened = on_opened};
	slots_init(&l->slots);
	assert_int_equal(watcher_start(&l->watcher, NULL, 0), 0);
	gate_init(&l->gate, &l->watcher);
	setbacks_init(&l->setbacks);
	complaints_init(&l->complaints);
	requests_init(&l->requests, &l->watcher);
	assert_int_equal(keyspace_new(&l->supply, &l->hooks, NULL, &l->keyspace), 0);
	assert_int_equal(notifier_new(&silent, &l->notifier), 0);
	return w;
}

static void world_free(struct world *w)
{
	struct larderfs *l = &w->fs;
	notifier_free(l->notifier);
	keyspace_free(l->keyspace);
	watcher_finish(&l->watcher);
	requests_finish(&l->requests);
	complaints_finish(&l->complaints);
	setbacks_finish(&l->setbacks);
	gate_finish(&l->gate);
	slots_finish(&l->slots);
	memory_store_free(w->store);
	free(w);
}

static struct fuse_req look_up(struct world *w, uint64_t directory, const char *name)
{
	struct fuse_req req = {.fs = &w->fs, .answer = -1};
	ops_table.lookup(&req, directory, name);
	assert_int_not_equal(req.answer, -1);
	return req;
}

static unsigned asked(const struct world *w)
{
	return w->store->opens + w->store->lists;
}

static void is_absent(const struct fuse_req *req, double seconds)
{
	assert_int_equal(req->answer, 0);
	assert_int_equal(req->entry.ino, 0);
	assert_true(req->entry.entry_timeout == seconds);
}

/* --- tests -----------------------------------------------------------------------------
 */

/* One that was only listed may turn out to be gone, and the kernel is not told. */
static void the_kernel_keeps_a_key_for_five_seconds_once_it_is_open(void **state)
{
	struct world *w = world_new();
	CLEANUP(cleanup_listing) struct listing *l = NULL;
	shelf_fill(w->store, "key", "x");
	assert_int_equal(
		keyspace_listing(w->fs.keyspace, CALL_PATIENT, 0, true, &l, NULL), 0);
	struct fuse_req req = look_up(w, TOP, "key");
	assert_int_equal(req.answer, 0);
	assert_int_not_equal(req.entry.ino, 0);
	assert_true(req.entry.entry_timeout == 1.0);
	assert_int_equal(look_up(w, req.entry.ino, "nothing").answer, 0); /* opens it */
	assert_true(look_up(w, TOP, "key").entry.entry_timeout == 5.0);
	world_free(w);
}

/* Reads the one file, which has to ask the store. */
static void meet_another_version(struct world *w, struct doorway *d)
{
	CLEANUP(cleanup_generation) struct generation *g = doorway_current(d);
	struct view view;
	assert_int_equal(doorway_view(g, CALL_PATIENT, 1, 0, 1, &view, NULL), -ESTALE);
}

/* tar(1) and larder-commit(1) compare what stat(2) says before and after they read. */
static void only_another_version_makes_a_doorway_look_changed(void **state)
{
	struct world *w = world_new();
	CLEANUP(cleanup_listing) struct listing *l = NULL;
	shelf_fill(w->store, "key", "x");
	w->store->tail_most = 256;
	assert_int_equal(
		keyspace_listing(w->fs.keyspace, CALL_PATIENT, 0, true, &l, NULL), 0);
	struct stat listed = look_up(w, TOP, "key").entry.attr;
	assert_int_equal(look_up(w, listed.st_ino, "nothing").answer, 0); /* opens it */
	struct stat open = look_up(w, TOP, "key").entry.attr;
	assert_int_not_equal(open.st_mtim.tv_sec, listed.st_mtim.tv_sec);
	assert_int_equal(open.st_size, listed.st_size);
	assert_memory_equal(&open.st_ctim, &listed.st_ctim, sizeof(open.st_ctim));
	shelf_fill(w->store, "key", "y");
	struct shown shown;
	assert_int_equal(
		keyspace_lookup(w->fs.keyspace, NULL, 0, "key", false, &shown, NULL), 0);
	meet_another_version(w, shown.doorway);
	struct stat other = look_up(w, TOP, "key").entry.attr;
	assert_memory_equal(&other.st_mtim, &open.st_mtim, sizeof(open.st_mtim));
	assert_int_equal(other.st_size, open.st_size);
	assert_true(other.st_ctim.tv_sec > open.st_ctim.tv_sec);
	world_free(w);
}

static void the_kernel_keeps_a_miss_for_five_seconds(void **state)
{
	struct world *w = world_new();
	struct fuse_req req = look_up(w, TOP, "nothing");
	is_absent(&req, 5.0);
	assert_int_equal(asked(w), 2); /* as a key, and as a directory of keys */
	world_free(w);
}

/* The kernel is not to keep what is remembered here, or it would be for twice as long. */
static void a_listed_key_that_has_gone_is_a_miss_for_five_seconds(void **state)
{
	struct world *w = world_new();
	CLEANUP(cleanup_listing) struct listing *l = NULL;
	shelf_fill(w->store, "key", "x");
	assert_int_equal(
		keyspace_listing(w->fs.keyspace, CALL_PATIENT, 0, true, &l, NULL), 0);
	uint64_t key = look_up(w, TOP, "key").entry.ino;
	memory_remove(w->store, "key");
	assert_int_equal(look_up(w, key, "file").answer, ENOENT);
	unsigned before = asked(w);
	now_ns += FIVE_SECONDS - 1;
	struct fuse_req req = look_up(w, TOP, "key");
	is_absent(&req, 0);
	assert_int_equal(look_up(w, key, "file").answer, ENOENT);
	assert_int_equal(asked(w), before);
	now_ns++;
	assert_int_equal(look_up(w, key, "file").answer, ENOENT);
	assert_int_equal(asked(w), before + 1);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_keeps_a_key_for_five_seconds_once_it_is_open),
		cmocka_unit_test(only_another_version_makes_a_doorway_look_changed),
		cmocka_unit_test(the_kernel_keeps_a_miss_for_five_seconds),
		cmocka_unit_test(a_listed_key_that_has_gone_is_a_miss_for_five_seconds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
