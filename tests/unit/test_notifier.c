#include "tests/unit/test.h"

#include <pthread.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fs/inode.h"
#include "fs/notifier.h"
#include "tests/unit/shelf.h"

/* --- the kernel's part: writes down what it is told --------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t told;
	char names[64][32];
	uint64_t directories[64];
	unsigned name_count;
	uint64_t inodes[16];
	unsigned inode_count;
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};

static void on_names(void *arg, uint64_t directory, const char *name, size_t len)
{
	LOCK_SCOPE(&kernel.lock);
	kernel.directories[kernel.name_count] = directory;
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

static bool was_told(uint64_t directory, const char *name)
{
	for (unsigned i = 0; i < kernel.name_count; i++)
		if (strcmp(kernel.names[i], name) == 0 &&
			kernel.directories[i] == directory)
			return true;
	return false;
}

/* --- generations -------------------------------------------------------------------- */

/* Two generations, each of a key of its own. */
struct pair {
	struct shelf shelf;
	struct opened old, fresh;
};

static void put(struct pair *p, const char *key, const char *one, const char *two)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	builder_dir(b, one);
	builder_file(b, two, "x", 1);
	builder_lay(b);
	shelf_put(&p->shelf, key, b);
}

static void pair_init(struct pair *p, const char *old_file)
{
	shelf_init(&p->shelf);
	put(p, "a", "stays", old_file);
	put(p, "b", "stays", "comes");
	shelf_open(&p->shelf, "a", &p->old);
	shelf_open(&p->shelf, "b", &p->fresh);
}

static void pair_finish(struct pair *p)
{
	opened_close(&p->old);
	opened_close(&p->fresh);
	shelf_finish(&p->shelf);
}

static void both_top_levels_are_forgotten(void **state)
{
	static struct pair p;
	struct notifier *n;
	pair_init(&p, "goes");
	assert_int_equal(notifier_new(&ops, &n), 0);
	notifier_succession(n, 77, p.old.g, p.fresh.g);
	wait_for(1, 4);
	assert_int_equal(kernel.inodes[0], 77);
	assert_true(was_told(77, "goes") && was_told(77, "comes"));
	assert_true(was_told(77, "stays"));
	/* one that is queued when it ends gives its references back */
	notifier_stop(n);
	notifier_succession(n, 77, p.old.g, p.fresh.g);
	notifier_free(n);
	pair_finish(&p);
}

/* What was in use when the name above it was forgotten would be kept. */
static void names_below_are_forgotten_while_inodes_are_known(void **state)
{
	static struct pair p;
	struct notifier *n;
	pair_init(&p, "stays/below");
	uint64_t directory = inode_make(generation_slot(p.old.g), 1);
	assert_int_equal(notifier_new(&ops, &n), 0);
	notifier_succession(n, 77, p.old.g, p.fresh.g);
	wait_for(1, 3);
	notifier_free(n);
	generation_lookup(p.old.g, 1);
	assert_int_equal(notifier_new(&ops, &n), 0);
	notifier_succession(n, 77, p.old.g, p.fresh.g);
	wait_for(2, 7);
	notifier_free(n);
	assert_int_equal(kernel.name_count, 7); /* the first time nothing was known */
	assert_true(was_told(directory, "below"));
	generation_forget(p.old.g, 1);
	pair_finish(&p);
}

static void names_that_lapse_are_forgotten(void **state)
{
	struct notifier *n;
	assert_int_equal(notifier_new(&ops, &n), 0);
	notifier_lapse(n, 5, "one");
	notifier_lapse(n, 6, "two");
	wait_for(0, 2);
	notifier_lapse(n, 6, "three");
	notifier_free(n);
	assert_true(was_told(5, "one") && was_told(6, "two"));
	assert_int_equal(kernel.inode_count, 0);
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
		cmocka_unit_test_setup(
			names_below_are_forgotten_while_inodes_are_known, setup),
		cmocka_unit_test_setup(names_that_lapse_are_forgotten, setup),
		cmocka_unit_test_setup(listings_expire_when_they_are_due, setup),
		cmocka_unit_test_setup(wishes_are_put_together, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
