#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fs/inode.h"
#include "tests/unit/keyspaces.h"

#define MANY 24

/* --- names -------------------------------------------------------------------------- */

static void a_key_is_found_and_opened(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "npm-1", "x");
	assert_int_equal(world_lookup(w, 0, "npm-1", &s), 0);
	assert_non_null(s.doorway);
	assert_string_equal(doorway_key(s.doorway), "npm-1");
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->store->opens, 1);
	assert_int_equal(w->store->lists, 0);
	assert_int_equal(w->store->reads, 0);
	struct shown again;
	assert_int_equal(world_lookup(w, 0, "npm-1", &again), 0);
	assert_int_equal(again.number, s.number);
	assert_int_equal(w->store->opens, 1);
	world_free(w);
}

static void slashes_make_directories(void **state)
{
	struct world *w = world_new(NULL);
	struct shown a, b, c;
	world_put(w, "os/arch/npm", "x");
	assert_int_equal(world_lookup(w, 0, "os", &a), 0);
	assert_null(a.doorway);
	assert_int_equal(world_lookup(w, a.number, "arch", &b), 0);
	assert_null(b.doorway);
	assert_int_equal(world_lookup(w, b.number, "npm", &c), 0);
	assert_string_equal(doorway_key(c.doorway), "os/arch/npm");
	assert_int_equal(world_lookup(w, c.number, "file", &a), -ENOTDIR);
	world_free(w);
}

static void what_is_not_there_is_a_miss(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "npm-1", "x");
	assert_int_equal(world_lookup(w, 0, "npm", &s), -ENOENT);
	assert_int_equal(world_lookup(w, 0, "npm-12", &s), -ENOENT);
	unsigned asked = w->store->opens + w->store->lists;
	/* no key can have these names: the store is not asked */
	assert_int_equal(world_lookup(w, 0, ".larder", &s), -ENOENT);
	assert_int_equal(world_lookup(w, 0, "a\001b", &s), -ENOENT);
	assert_int_equal(world_lookup(w, 0, "\xff", &s), -ENOENT);
	assert_int_equal(w->store->opens + w->store->lists, asked);
	world_free(w);
}

static void list_and_find(struct world *w)
{
	listing_unref(world_list(w, 0));
	assert_int_equal(world_lookup(w, 0, "npm-1", &w->meanwhile), 0);
}

/* As by another thread, between the store's answer and its coming into the table. */
static void a_name_found_by_a_listing_meanwhile_is_one_node(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "npm-1", "x");
	w->when_opened = list_and_find;
	assert_int_equal(world_lookup(w, 0, "npm-1", &s), 0);
	assert_int_equal(s.number, w->meanwhile.number);
	assert_ptr_equal(s.doorway, w->meanwhile.doorway);
	keyspace_forget(w->keyspace, s.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, s.number, &s), 0);
	keyspace_forget(w->keyspace, s.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, s.number, &s), -ENOENT);
	world_free(w);
}

static void a_name_that_is_key_and_directory_is_the_key(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "a", "x");
	world_put(w, "a/b", "y");
	assert_int_equal(world_lookup(w, 0, "a", &s), 0);
	assert_non_null(s.doorway);
	CLEANUP(cleanup_listing) struct listing *l = world_list(w, 0);
	struct listed it;
	assert_int_equal(listing_count(l), 1);
	assert_int_equal(listing_find(l, "a", &it), 0);
	assert_true(it.is_key);
	world_free(w);
}

static void denied_is_a_miss_with_one_word(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	w->store->denied = true;
	w->store->list_result = -EACCES;
	assert_int_equal(world_lookup(w, 0, "secret", &s), -ENOENT);
	assert_int_equal(w->denied, 1);
	world_free(w);
}

static void a_listed_key_that_is_denied_is_told_of_too(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	world_put(w, "secret", "x");
	listing_unref(world_list(w, 0));
	w->store->denied = true;
	assert_int_equal(world_lookup(w, 0, "secret", &s), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			doorway_generation(s.doorway, CALL_PATIENT, &g, NULL), -ENOENT);
	assert_int_equal(w->denied, 1);
	world_free(w);
}

static void a_store_that_cannot_list_has_no_directories(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "dir/key", "x");
	w->store->list_result = -EOPNOTSUPP;
	assert_int_equal(world_lookup(w, 0, "dir", &s), -ENOENT);
	CLEANUP(cleanup_listing) struct listing *l = world_list(w, 0);
	assert_int_equal(listing_count(l), 0);
	world_free(w);
}

static void failures_are_not_misses(void **state)
{
	static const int codes[] = {-EIO, -EKEYREJECTED, -ETIMEDOUT};
	for (size_t i = 0; i < 3; i++) {
		struct world *w = world_new(NULL);
		struct shown s;
		w->store->open_result = codes[i];
		assert_int_equal(world_lookup(w, 0, "k", &s), codes[i]);
		w->store->open_result = 0;
		world_put(w, "k", "x");
		assert_int_equal(world_lookup(w, 0, "k", &s), 0);
		world_free(w);
	}
}

static void what_is_no_archive_is_corrupt_and_left_alone_a_while(void **state)
{
	struct world *w = world_new("junk");
	struct shown top;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	struct error e = {0};
	memory_put(w->store, "junk", "just some bytes", 15);
	world_now_ns = 77 * NS_PER_SECOND;
	assert_int_equal(keyspace_node(w->keyspace, 0, &top), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			doorway_generation(top.doorway, CALL_PATIENT, &g, &e), -EBADMSG);
		assert_non_null(strstr(e.text, "'junk'"));
	}
	assert_int_equal(w->store->opens, 1);
	world_now_ns += 5 * NS_PER_SECOND - 1;
	world_put(w, "junk", "x");
	assert_int_equal(doorway_generation(top.doorway, CALL_PATIENT, &g, &e), -EBADMSG);
	world_now_ns++;
	assert_int_equal(doorway_generation(top.doorway, CALL_PATIENT, &g, &e), 0);
	assert_int_equal(w->store->opens, 2);
	cleanup_generation(&g);
	world_free(w);
}

static void a_name_that_is_no_archive_is_left_alone_a_while(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	memory_put(w->store, "junk", "just some bytes", 15);
	world_now_ns = 77 * NS_PER_SECOND;
	for (int i = 0; i < 3; i++) {
		struct error e = {0};
		assert_int_equal(keyspace_lookup(w->keyspace, CALL_PATIENT, 0, "junk",
					 true, &s, &e),
			-EBADMSG);
		assert_non_null(strstr(e.text, "'junk'"));
	}
	assert_int_equal(w->store->opens, 1);
	world_now_ns += 5 * NS_PER_SECOND - 1;
	world_put(w, "junk", "x");
	assert_int_equal(world_lookup(w, 0, "junk", &s), -EBADMSG);
	assert_int_equal(w->store->opens, 1);
	world_now_ns++;
	assert_int_equal(world_lookup(w, 0, "junk", &s), 0);
	assert_int_equal(w->store->opens, 2);
	assert_int_equal(w->store->lists, 0);
	world_free(w);
}

/* --- listings ------------------------------------------------------------------------
 */

static void listed_names_are_known_without_being_opened(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	world_put(w, "one", "x");
	world_put(w, "two/deep", "x");
	listing_unref(world_list(w, 0));
	assert_int_equal(w->store->lists, 1);
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, 0, "one", false, &s, NULL), 0);
	assert_non_null(s.doorway);
	assert_null(doorway_current(s.doorway));
	assert_int_equal(s.mtime_s, 1000000001);
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, 0, "two", false, &s, NULL), 0);
	assert_null(s.doorway);
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, 0, "three", false, &s, NULL), -EAGAIN);
	assert_int_equal(w->store->opens, 0);
	assert_int_equal(w->store->lists, 1);
	world_free(w);
}

static void a_listed_key_that_has_gone_is_a_miss(void **state)
{
	struct world *w = world_new(NULL);
	struct shown dir, key, none;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	world_put(w, "dir/key", "x");
	world_put(w, "dir/other", "x");
	assert_int_equal(world_lookup(w, 0, "dir", &dir), 0);
	listing_unref(world_list(w, dir.number));
	assert_int_equal(world_lookup(w, dir.number, "key", &key), 0);
	memory_remove(w->store, "dir/key");
	world_now_ns = clock_monotonic_ns();
	unsigned opens = w->store->opens, lists = w->store->lists;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			doorway_generation(key.doorway, CALL_PATIENT, &g, NULL), -ENOENT);
		keyspace_lose(w->keyspace, key.number, doorway_shut_until(key.doorway));
	}
	assert_int_equal(w->store->opens, opens + 1);
	/* in use still, and when it is forgotten: the listing has it, and is not believed
	 */
	assert_int_equal(world_lookup(w, dir.number, "key", &none), -ENOENT);
	keyspace_forget(w->keyspace, key.number, 1);
	assert_int_equal(world_lookup(w, dir.number, "key", &none), -ENOENT);
	assert_int_equal(world_lookup(w, dir.number, "other", &none), 0);
	assert_int_equal(w->store->opens, opens + 1);
	assert_int_equal(w->store->lists, lists);
	world_now_ns += 5 * NS_PER_SECOND - 1;
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, dir.number, "key", false, &none, NULL),
		-ENOENT);
	world_now_ns++;
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, dir.number, "key", false, &none, NULL),
		-EAGAIN);
	world_put(w, "dir/key", "x");
	assert_int_equal(world_lookup(w, dir.number, "key", &none), 0);
	assert_int_equal(w->store->opens, opens + 2);
	keyspace_lose(w->keyspace, 0, UINT64_MAX); /* which has no name */
	world_free(w);
}

static void a_fresh_listing_is_used_again(void **state)
{
	struct world *w = world_new(NULL);
	struct listing *l = NULL;
	world_put(w, "one", "x");
	world_now_ns = 77 * NS_PER_SECOND;
	assert_int_equal(
		keyspace_listing(w->keyspace, NULL, 0, false, &l, NULL), -EAGAIN);
	listing_unref(world_list(w, 0));
	world_now_ns += 5 * NS_PER_SECOND - 1;
	listing_unref(world_list(w, 0));
	assert_int_equal(keyspace_listing(w->keyspace, NULL, 0, false, &l, NULL), 0);
	listing_unref(l);
	assert_int_equal(w->store->lists, 1);
	world_now_ns++;
	assert_int_equal(
		keyspace_listing(w->keyspace, NULL, 0, false, &l, NULL), -EAGAIN);
	listing_unref(world_list(w, 0));
	assert_int_equal(w->store->lists, 2);
	world_free(w);
}

static void positions_hold_over_listings(void **state)
{
	CLEANUP(cleanup_memory_store) struct memory_store *store = memory_store_new();
	char name[32];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "p/key-%d", i);
		memory_put(store, name, "", 0);
	}
	CLEANUP(cleanup_listing) struct listing *first = NULL;
	CLEANUP(cleanup_listing) struct listing *second = NULL;
	assert_int_equal(listing_fetch(&store->base, CALL_PATIENT, "p", &first, NULL), 0);
	memory_remove(store, "p/key-7");
	memory_put(store, "p/new", "", 0);
	assert_int_equal(
		listing_fetch(&store->base, CALL_PATIENT, "p", &second, NULL), 0);
	assert_int_equal(listing_count(first), 40);
	assert_int_equal(listing_count(second), 40);
	/* half of the one, then the rest of the other: every name that is in both, once
	 */
	struct listed it;
	unsigned seen[40] = {0};
	uint64_t position = 0;
	for (size_t i = 0; i < 20; i++) {
		listing_at(first, i, &it);
		assert_true(it.position > position && it.position >= LISTING_FIRST);
		position = it.position;
		seen[atoi(it.name + 4)]++;
	}
	for (size_t i = listing_after(second, position); i < 40; i++) {
		listing_at(second, i, &it);
		if (strcmp(it.name, "new") != 0)
			seen[atoi(it.name + 4)]++;
	}
	for (int i = 0; i < 40; i++)
		assert_true(seen[i] == 1 || (i == 7 && seen[i] == 0));
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "key-%d", i);
		assert_int_equal(listing_find(first, name, &it), 0);
		assert_string_equal(it.name, name);
	}
	assert_int_equal(listing_find(first, "new", &it), -ENOENT);
}

/* --- forgetting -----------------------------------------------------------------------
 */

static void forgotten_nodes_are_freed_and_their_numbers_gone(void **state)
{
	struct world *w = world_new(NULL);
	struct shown a, key, again;
	world_put(w, "a/key", "x");
	assert_int_equal(world_lookup(w, 0, "a", &a), 0);
	assert_int_equal(world_lookup(w, a.number, "key", &key), 0);
	assert_int_equal(world_lookup(w, a.number, "key", &key), 0);
	assert_int_equal(w->store->objects, 1);
	keyspace_forget(w->keyspace, a.number, 1);
	assert_int_equal(
		keyspace_node(w->keyspace, a.number, &again), 0); /* has a child */
	keyspace_forget(w->keyspace, key.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, key.number, &again), 0);
	keyspace_forget(w->keyspace, key.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, key.number, &again), -ENOENT);
	assert_int_equal(keyspace_node(w->keyspace, a.number, &again), -ENOENT);
	assert_int_equal(w->store->objects, 0);
	assert_int_equal(world_lookup(w, 0, "a", &again), 0);
	assert_true(again.number > key.number);
	world_free(w);
}

static void the_mountpoint_is_never_forgotten(void **state)
{
	struct world *w = world_new(NULL);
	struct shown top;
	keyspace_forget(w->keyspace, 0, 5);
	keyspace_forget(w->keyspace, 12345, 1);
	assert_int_equal(keyspace_node(w->keyspace, 0, &top), 0);
	world_free(w);
}

static void many_nodes_are_kept_apart(void **state)
{
	struct world *w = world_new(NULL);
	char name[32];
	struct shown s[40];
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d/k", i);
		memory_put(w->store, name, "", 0);
	}
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "d%d", i);
			assert_int_equal(world_lookup(w, 0, name, &s[i]), 0);
			assert_true(i == 0 || s[i].number != s[i - 1].number);
		}
	}
	for (int i = 0; i < 40; i++)
		keyspace_forget(w->keyspace, s[i].number, 8);
	for (int i = 0; i < 40; i++)
		assert_int_equal(keyspace_node(w->keyspace, s[i].number, &s[i]), -ENOENT);
	world_free(w);
}

/* --- many at once ---------------------------------------------------------------------
 */

struct asker {
	pthread_t thread;
	struct world *world;
	const char *name;
	struct cancel cancel;
	struct call call;
	struct shown shown;
	struct error error;
	int result;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	a->result = keyspace_lookup(
		a->world->keyspace, &a->call, 0, a->name, true, &a->shown, &a->error);
	return NULL;
}

static void start(struct asker *a, struct world *w, const char *name)
{
	*a = (struct asker){.world = w, .name = name};
	cancel_init(&a->cancel);
	a->call = (struct call){.deadline_ns = DEADLINE_NONE, .cancel = &a->cancel};
	assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static void join(struct asker *a)
{
	pthread_join(a->thread, NULL);
	cancel_finish(&a->cancel);
}

static void many_ask_for_a_key_and_it_is_opened_once(void **state)
{
	struct world *w = world_new(NULL);
	struct asker askers[MANY];
	world_put(w, "k", "x");
	memory_hold(w->store);
	for (int i = 0; i < MANY; i++)
		start(&askers[i], w, "k");
	memory_wait_held(w->store, 1);
	memory_release(w->store);
	for (int i = 0; i < MANY; i++) {
		join(&askers[i]);
		assert_int_equal(askers[i].result, 0);
		assert_int_equal(askers[i].shown.number, askers[0].shown.number);
	}
	assert_int_equal(w->store->opens, 1);
	assert_int_equal(w->opened, 1);
	keyspace_forget(w->keyspace, askers[0].shown.number, MANY - 1);
	assert_int_equal(w->store->objects, 1);
	keyspace_forget(w->keyspace, askers[0].shown.number, 1);
	assert_int_equal(w->store->objects, 0);
	world_free(w);
}

static void a_held_name_holds_no_other(void **state)
{
	struct world *w = world_new(NULL);
	struct asker held;
	struct shown s;
	world_put(w, "fast", "x");
	listing_unref(world_list(w, 0));
	memory_hold(w->store);
	start(&held, w, "slow");
	memory_wait_held(w->store, 1);
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, 0, "fast", false, &s, NULL), 0);
	listing_unref(world_list(w, 0));
	cancel_fire(&held.cancel);
	join(&held);
	assert_int_equal(held.result, -ECANCELED);
	memory_release(w->store);
	world_free(w);
}

static void an_opener_who_stops_is_replaced(void **state)
{
	struct world *w = world_new(NULL);
	struct asker first, second;
	world_put(w, "k", "x");
	memory_hold(w->store);
	start(&first, w, "k");
	memory_wait_held(w->store, 1);
	start(&second, w, "k");
	cancel_fire(&first.cancel);
	join(&first);
	assert_int_equal(first.result, -ECANCELED);
	memory_wait_held(w->store, 1); /* the second one has taken over */
	memory_release(w->store);
	join(&second);
	assert_int_equal(second.result, 0);
	assert_int_equal(w->store->opens, 2);
	world_free(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_found_and_opened),
		cmocka_unit_test(slashes_make_directories),
		cmocka_unit_test(what_is_not_there_is_a_miss),
		cmocka_unit_test(a_name_found_by_a_listing_meanwhile_is_one_node),
		cmocka_unit_test(a_name_that_is_key_and_directory_is_the_key),
		cmocka_unit_test(denied_is_a_miss_with_one_word),
		cmocka_unit_test(a_listed_key_that_is_denied_is_told_of_too),
		cmocka_unit_test(a_store_that_cannot_list_has_no_directories),
		cmocka_unit_test(failures_are_not_misses),
		cmocka_unit_test(what_is_no_archive_is_corrupt_and_left_alone_a_while),
		cmocka_unit_test(a_name_that_is_no_archive_is_left_alone_a_while),
		cmocka_unit_test(listed_names_are_known_without_being_opened),
		cmocka_unit_test(a_listed_key_that_has_gone_is_a_miss),
		cmocka_unit_test(a_fresh_listing_is_used_again),
		cmocka_unit_test(positions_hold_over_listings),
		cmocka_unit_test(forgotten_nodes_are_freed_and_their_numbers_gone),
		cmocka_unit_test(the_mountpoint_is_never_forgotten),
		cmocka_unit_test(many_nodes_are_kept_apart),
		cmocka_unit_test(many_ask_for_a_key_and_it_is_opened_once),
		cmocka_unit_test(a_held_name_holds_no_other),
		cmocka_unit_test(an_opener_who_stops_is_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
