#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fs/doorway.h"
#include "fs/notifier.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/memory_store.h"

/* --- the kernel's part: writes down what it is told --------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t told;
	char names[64][32];
	unsigned name_count;
	uint64_t inodes[16];
	unsigned inode_count;
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};

static void on_names(void *arg, uint64_t directory, const char *name, size_t len)
{
	LOCK_SCOPE(&kernel.lock);
	assert_int_equal(directory, 77);
	assert_true(kernel.inode_count > 0); /* the listing goes first */
	memcpy(kernel.names[kernel.name_count], name, len);
	kernel.names[kernel.name_count++][len] = '\0';
	pthread_cond_broadcast(&kernel.told);
}

static void on_inode(void *arg, uint64_t inode)
{
	LOCK_SCOPE(&kernel.lock);
	kernel.inodes[kernel.inode_count++] = inode;
	pthread_cond_broadcast(&kernel.told);
}

static const struct notifier_ops ops = {on_names, on_inode, NULL};

static int setup(void **state)
{
	kernel.name_count = kernel.inode_count = 0;
	return 0;
}

static void wait_for(unsigned inodes, unsigned names)
{
	LOCK_SCOPE(&kernel.lock);
	while (kernel.inode_count < inodes || kernel.name_count < names)
		pthread_cond_wait(&kernel.told, &kernel.lock);
}

static bool was_told(const char *name)
{
	for (unsigned i = 0; i < kernel.name_count; i++)
		if (strcmp(kernel.names[i], name) == 0)
			return true;
	return false;
}

/* --- generations -------------------------------------------------------------------- */

static void put(struct memory_store *s, const char *key, const char *one, const char *two)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(buf_finish) struct buf object = BUF_INIT(1 << 20);
	builder_dir(b, one);
	builder_file(b, two, "x", 1);
	builder_lay(b);
	builder_object(b, &object);
	memory_put_buf(s, key, &object);
}

static void on_opened(void *arg, const char *key, struct generation *g)
{
}

static void both_top_levels_are_forgotten(void **state)
{
	CLEANUP(cleanup_memory_store) struct memory_store *store = memory_store_new();
	static struct slots slots;
	slots_init(&slots);
	const struct supply supply = {&store->base, NULL, &slots, 1 << 20};
	const struct doorway_hooks hooks = {.opened = on_opened};
	struct doorway *a, *b;
	struct generation *old, *fresh;
	struct notifier *n;
	put(store, "a", "stays", "goes");
	put(store, "b", "stays", "comes");
	assert_int_equal(doorway_new(&supply, &hooks, "a", &a), 0);
	assert_int_equal(doorway_new(&supply, &hooks, "b", &b), 0);
	assert_int_equal(doorway_generation(a, CALL_PATIENT, &old, NULL, NULL), 0);
	assert_int_equal(doorway_generation(b, CALL_PATIENT, &fresh, NULL, NULL), 0);
	assert_int_equal(notifier_new(&ops, &n), 0);
	notifier_succession(n, 77, old, fresh);
	wait_for(1, 4);
	assert_int_equal(kernel.inodes[0], 77);
	assert_true(was_told("goes") && was_told("comes") && was_told("stays"));
	/* one that is queued when it ends gives its references back */
	notifier_stop(n);
	notifier_succession(n, 77, old, fresh);
	notifier_free(n);
	generation_unref(old);
	generation_unref(fresh);
	doorway_close(a);
	doorway_close(b);
	doorway_unref(a);
	doorway_unref(b);
	assert_int_equal(store->objects, 0);
	slots_finish(&slots);
}

static void listings_expire_when_they_are_due(void **state)
{
	struct notifier *n;
	assert_int_equal(notifier_new(&ops, &n), 0);
	uint64_t now = clock_monotonic_ns();
	notifier_expire(n, 5, now + 3600 * NS_PER_SECOND);
	notifier_expire(n, 6, now);
	wait_for(1, 0);
	assert_int_equal(kernel.inodes[0], 6);
	notifier_free(n);
	assert_int_equal(kernel.inode_count, 1);
}

/* A second wish is dropped only if the first one is carried out hardly earlier. */
static void wishes_are_put_together(void **state)
{
	struct notifier *n;
	uint64_t now = clock_monotonic_ns();
	assert_int_equal(notifier_new(&ops, &n), 0);
	for (int i = 0; i < 1000; i++)
		notifier_expire(n, 5, now + 300 * NS_PER_MS);
	notifier_expire(n, 6, now + 400 * NS_PER_MS);
	wait_for(2, 0);
	notifier_free(n);
	assert_int_equal(kernel.inode_count, 2);
	assert_int_equal(kernel.inodes[0], 5);
	assert_int_equal(kernel.inodes[1], 6);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_top_levels_are_forgotten, setup),
		cmocka_unit_test_setup(listings_expire_when_they_are_due, setup),
		cmocka_unit_test_setup(wishes_are_put_together, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
