/* Keys found, listed, opened, read and overwritten, where memory runs out at any point.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fs/keyspace.h"
#include "fs/notifier.h"
#include "fs/options.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/memory_store.h"
#include "tests/unit/scarce.h"

#define BIG                                                                              \
	((size_t)ARCHIVE_TAIL_SIZE + 400000) /* bytes: not all comes with the opening */

/* --- a store that always has memory ----------------------------------------------------
 */

struct rich {
	struct store base;
	struct memory_store *inner;
	const struct store_ops *ops; /* the inner store's */
};

static int rich_open(struct store *s, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	const struct rich *rich = (struct rich *)s;
	bool before = scarce_spare(true);
	int r = rich->ops->open_object(
		&rich->inner->base, call, key, tail_len, ret, ret_denied, e);
	scarce_spare(before);
	return r;
}

struct telling {
	list_fn *fn;
	void *arg;
};

static int tell(void *arg, const struct list_entry *entry)
{
	const struct telling *t = arg;
	bool before = scarce_spare(false);
	int r = t->fn(t->arg, entry);
	scarce_spare(before);
	return r;
}

static int rich_list(struct store *s, const struct call *call, const char *prefix,
	bool deep, list_fn *fn, void *arg, struct error *e)
{
	const struct rich *rich = (struct rich *)s;
	struct telling telling = {fn, arg};
	bool before = scarce_spare(true);
	int r = rich->ops->list(
		&rich->inner->base, call, prefix, deep, tell, &telling, e);
	scarce_spare(before);
	return r;
}

static const struct store_ops rich_ops = {.open_object = rich_open, .list = rich_list};

/* --- what is in it ---------------------------------------------------------------------
 */

struct world {
	struct rich store;
	struct buf one, two; /* archives */
	unsigned char *big;  /* owned */
};

static void make_archive(const struct world *w, const char *small, struct buf *ret)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	*ret = BUF_INIT(16 << 20);
	b->cut = 4096;
	builder_file(b, "dir/same", "same", 4);
	builder_dir(b, "dir");
	builder_file(b, "small", small, strlen(small));
	builder_file(b, "zz-big", w->big, BIG);
	builder_lay(b);
	builder_object(b, ret);
}

static void world_init(struct world *w)
{
	w->store.inner = memory_store_new();
	w->store.ops = w->store.inner->base.ops;
	w->store.base = (struct store){.ops = &rich_ops, .name = (char *)"memory"};
	w->big = malloc(BIG);
	for (size_t i = 0; i < BIG; i++) /* does not compress */
		w->big[i] = (unsigned char)(i * i >> 7 ^ i >> 3 ^ i * 31);
	make_archive(w, "one", &w->one);
	make_archive(w, "two", &w->two);
	memory_put_buf(w->store.inner, "dir/key", &w->one);
	memory_put(w->store.inner, "junk", "no archive", 10);
}

static void world_finish(struct world *w)
{
	memory_store_free(w->store.inner);
	buf_finish(&w->one);
	buf_finish(&w->two);
	free(w->big);
}

/* --- a mount's inside ------------------------------------------------------------------
 */

struct mounted {
	struct slots slots;
	struct supply supply;
	struct doorway_hooks hooks;
	struct keyspace *keyspace;
	struct notifier *notifier;
};

static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
}

static void on_succeeded(
	void *arg, uint64_t inode, struct generation *old, struct generation *fresh)
{
	struct mounted *m = arg;
	notifier_succession(m->notifier, inode, old, fresh);
	notifier_expire(m->notifier, inode, 0);
	notifier_lapse(m->notifier, inode, "name");
}

static void on_denied(void *arg, const char *key)
{
}

static void forget_names(void *arg, uint64_t directory, const char *name, size_t len)
{
}

static void forget_inode(void *arg, uint64_t inode)
{
}

static int mount(struct world *w, struct mounted *m)
{
	static const struct notifier_ops ops = {forget_names, forget_inode, NULL};
	slots_init(&m->slots);
	m->supply = (struct supply){
		.store = &w->store.base,
		.slots = &m->slots,
		.frame_budget = 1, /* each read goes to the store */
	};
	m->hooks = (struct doorway_hooks){
		.opened = on_opened,
		.succeeded = on_succeeded,
		.denied = on_denied,
		.arg = m,
	};
	int r = notifier_new(&ops, &m->notifier);
	return r < 0 ? r : keyspace_new(&m->supply, &m->hooks, NULL, &m->keyspace);
}

static void unmount(struct mounted *m)
{
	notifier_free(m->notifier);
	keyspace_free(m->keyspace);
	slots_finish(&m->slots);
}

static int look_up(
	struct mounted *m, uint32_t directory, const char *name, struct shown *ret)
{
	return keyspace_lookup(
		m->keyspace, CALL_PATIENT, directory, name, true, ret, NULL);
}

static int find_doorway(struct mounted *m, struct doorway **ret)
{
	struct shown directory, key;
	CLEANUP(cleanup_listing) struct listing *l = NULL;
	int r = look_up(m, 0, "dir", &directory);
	if (r == 0)
		r = look_up(m, directory.number, "key", &key);
	if (r == 0)
		r = keyspace_listing(m->keyspace, CALL_PATIENT, 0, true, &l, NULL);
	if (r == 0)
		*ret = key.doorway;
	return r;
}

static int read_file(struct generation *g, const char *path, uint64_t offset,
	const void *want, size_t len)
{
	uint32_t entry;
	struct view v;
	struct iovec iov[VIEW_SPANS];
	assert_int_equal(index_find(generation_index(g), path, &entry), 0);
	int r = doorway_view(g, CALL_PATIENT, entry, offset, len, &v, NULL);
	if (r < 0)
		return r;
	assert_int_equal(v.len, len);
	assert_true(view_iov(&v, iov) >= 1);
	assert_memory_equal(iov[0].iov_base, want, iov[0].iov_len);
	view_release(&v);
	return 0;
}

static int look_around(void *arg)
{
	struct world *w = arg;
	CLEANUP(unmount) struct mounted m = {0};
	struct doorway *doorway = NULL;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	int r = mount(w, &m);
	if (r == 0)
		r = find_doorway(&m, &doorway);
	if (r == 0)
		r = doorway_generation(doorway, CALL_PATIENT, &g, NULL);
	if (r == 0)
		r = read_file(g, "small", 0, "one", 3);
	return r < 0 ? r : read_file(g, "zz-big", 100, w->big + 100, 5000);
}

static void keys_are_found_and_read(void **state)
{
	struct world w;
	world_init(&w);
	scarce_try("looking around", look_around, &w);
	world_finish(&w);
}

/* The old generation's file is asked for after another object came. */
static int overwrite(void *arg)
{
	struct world *w = arg;
	CLEANUP(unmount) struct mounted m = {0};
	struct doorway *doorway = NULL;
	CLEANUP(cleanup_generation) struct generation *old = NULL, *fresh = NULL;
	int r = mount(w, &m);
	if (r == 0)
		r = find_doorway(&m, &doorway);
	if (r == 0)
		r = doorway_generation(doorway, CALL_PATIENT, &old, NULL);
	bool before = scarce_spare(true);
	memory_put_buf(w->store.inner, "dir/key", &w->two);
	scarce_spare(before);
	if (r == 0)
		r = read_file(old, "zz-big", 9000, w->big + 9000, 5000);
	if (r == 0)
		r = doorway_generation(doorway, CALL_PATIENT, &fresh, NULL);
	if (r == 0)
		r = read_file(fresh, "small", 0, "two", 3);
	before = scarce_spare(true);
	memory_put_buf(w->store.inner, "dir/key", &w->one);
	scarce_spare(before);
	return r;
}

static void a_key_is_overwritten(void **state)
{
	struct world w;
	world_init(&w);
	scarce_try("an overwritten key", overwrite, &w);
	world_finish(&w);
}

/* --- words -----------------------------------------------------------------------------
 */

static int read_words(void *arg)
{
	const char *words[] = {"larderfs", "-o", "rw,key=k,fallback-key=k-,timeout=5s",
		"--cache-dir=cache", "s3://bucket/prefix", "/mnt", NULL};
	struct fs_options o;
	fs_options_init(&o);
	int r = fs_options_parse(&o, 6, (char **)words, NULL);
	fs_options_finish(&o);
	return r;
}

static void a_mounts_words_are_read(void **state)
{
	scarce_try("a mount's words", read_words, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_found_and_read),
		cmocka_unit_test(a_key_is_overwritten),
		cmocka_unit_test(a_mounts_words_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
