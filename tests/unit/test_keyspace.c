#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fs/inode.h"
#include "fs/keyspace.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/memory_store.h"

#define MANY 24

/* The clock that the keyspace sees (linked with --wrap); 0: the real one. */
static uint64_t stopped_ns;

uint64_t __real_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void)
{
	return stopped_ns ? stopped_ns : __real_clock_monotonic_ns();
}

struct world {
	struct memory_store *store;
	struct slots slots;
	struct supply supply;
	struct doorway_hooks hooks;
	struct keyspace *keyspace;
	unsigned opened, denied; /* by hooks; one thread at a time in these tests */
	void (*when_opened)(struct world *w); /* NULL: nothing */
	struct shown meanwhile;
};

static void on_opened(void *arg, uint64_t inode, struct generation *g)
{
	struct world *w = arg;
	w->opened++;
	if (w->when_opened)
		w->when_opened(w);
}

static void on_denied(void *arg, const char *key)
{
	((struct world *)arg)->denied++;
}

static struct world *world_new(const char *key)
{
	struct world *w = calloc(1, sizeof(*w));
	stopped_ns = 0;
	w->store = memory_store_new();
	slots_init(&w->slots);
	w->supply = (struct supply){
		.store = &w->store->base,
		.slots = &w->slots,
		.frame_budget = 1 << 20,
	};
	w->hooks = (struct doorway_hooks){
		.opened = on_opened,
		.denied = on_denied,
		.arg = w,
	};
	assert_int_equal(keyspace_new(&w->supply, &w->hooks, key, &w->keyspace), 0);
	return w;
}

static void world_free(struct world *w)
{
	keyspace_free(w->keyspace);
	assert_int_equal(w->store->objects, 0);
	memory_store_free(w->store);
	slots_finish(&w->slots);
	free(w);
}

static void put_archive(struct world *w, const char *key, const char *content)
{
	CLEANUP(cleanup_builder) struct archive_builder *b = builder_new();
	CLEANUP(buf_finish) struct buf object = BUF_INIT(1 << 20);
	builder_file(b, "file", content, strlen(content));
	builder_lay(b);
	builder_object(b, &object);
	memory_put_buf(w->store, key, &object);
}

static int lookup(struct world *w, uint32_t directory, const char *name, struct shown *ret)
{
	return keyspace_lookup(
		w->keyspace, CALL_PATIENT, directory, name, true, ret, NULL);
}

static struct listing *list(struct world *w, uint32_t directory)
{
	struct listing *l = NULL;
	assert_int_equal(
		keyspace_listing(w->keyspace, CALL_PATIENT, directory, true, &l, NULL), 0);
	return l;
}

/* --- names -------------------------------------------------------------------------- */

static void a_key_is_found_and_opened(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	put_archive(w, "npm-1", "x");
	assert_int_equal(lookup(w, 0, "npm-1", &s), 0);
	assert_non_null(s.doorway);
	assert_string_equal(doorway_key(s.doorway), "npm-1");
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->store->opens, 1);
	assert_int_equal(w->store->lists, 0);
	assert_int_equal(w->store->reads, 0);
	struct shown again;
	assert_int_equal(lookup(w, 0, "npm-1", &again), 0);
	assert_int_equal(again.number, s.number);
	assert_int_equal(w->store->opens, 1);
	world_free(w);
}

static void slashes_make_directories(void **state)
{
	struct world *w = world_new(NULL);
	struct shown a, b, c;
	put_archive(w, "os/arch/npm", "x");
	assert_int_equal(lookup(w, 0, "os", &a), 0);
	assert_null(a.doorway);
	assert_int_equal(lookup(w, a.number, "arch", &b), 0);
	assert_null(b.doorway);
	assert_int_equal(lookup(w, b.number, "npm", &c), 0);
	assert_string_equal(doorway_key(c.doorway), "os/arch/npm");
	assert_int_equal(lookup(w, c.number, "file", &a), -ENOTDIR);
	world_free(w);
}

static void what_is_not_there_is_a_miss(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	put_archive(w, "npm-1", "x");
	assert_int_equal(lookup(w, 0, "npm", &s), -ENOENT);
	assert_int_equal(lookup(w, 0, "npm-12", &s), -ENOENT);
	unsigned asked = w->store->opens + w->store->lists;
	/* no key can have these names: the store is not asked */
	assert_int_equal(lookup(w, 0, ".larder", &s), -ENOENT);
	assert_int_equal(lookup(w, 0, "a\001b", &s), -ENOENT);
	assert_int_equal(lookup(w, 0, "\xff", &s), -ENOENT);
	assert_int_equal(w->store->opens + w->store->lists, asked);
	world_free(w);
}

static void list_and_find(struct world *w)
{
	listing_unref(list(w, 0));
	assert_int_equal(lookup(w, 0, "npm-1", &w->meanwhile), 0);
}

/* As by another thread, between the store's answer and its coming into the table. */
static void a_name_found_by_a_listing_meanwhile_is_one_node(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	put_archive(w, "npm-1", "x");
	w->when_opened = list_and_find;
	assert_int_equal(lookup(w, 0, "npm-1", &s), 0);
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
	put_archive(w, "a", "x");
	put_archive(w, "a/b", "y");
	assert_int_equal(lookup(w, 0, "a", &s), 0);
	assert_non_null(s.doorway);
	CLEANUP(cleanup_listing) struct listing *l = list(w, 0);
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
	assert_int_equal(lookup(w, 0, "secret", &s), -ENOENT);
	assert_int_equal(w->denied, 1);
	world_free(w);
}

static void a_listed_key_that_is_denied_is_told_of_too(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	put_archive(w, "secret", "x");
	listing_unref(list(w, 0));
	w->store->denied = true;
	assert_int_equal(lookup(w, 0, "secret", &s), 0);
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
	put_archive(w, "dir/key", "x");
	w->store->list_result = -EOPNOTSUPP;
	assert_int_equal(lookup(w, 0, "dir", &s), -ENOENT);
	CLEANUP(cleanup_listing) struct listing *l = list(w, 0);
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
		assert_int_equal(lookup(w, 0, "k", &s), codes[i]);
		w->store->open_result = 0;
		put_archive(w, "k", "x");
		assert_int_equal(lookup(w, 0, "k", &s), 0);
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
	stopped_ns = 77 * NS_PER_SECOND;
	assert_int_equal(keyspace_node(w->keyspace, 0, &top), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			doorway_generation(top.doorway, CALL_PATIENT, &g, &e), -EBADMSG);
		assert_non_null(strstr(e.text, "'junk'"));
	}
	assert_int_equal(w->store->opens, 1);
	stopped_ns += 5 * NS_PER_SECOND - 1;
	put_archive(w, "junk", "x");
	assert_int_equal(
		doorway_generation(top.doorway, CALL_PATIENT, &g, &e), -EBADMSG);
	stopped_ns++;
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
	stopped_ns = 77 * NS_PER_SECOND;
	for (int i = 0; i < 3; i++) {
		struct error e = {0};
		assert_int_equal(keyspace_lookup(w->keyspace, CALL_PATIENT, 0, "junk",
					 true, &s, &e),
			-EBADMSG);
		assert_non_null(strstr(e.text, "'junk'"));
	}
	assert_int_equal(w->store->opens, 1);
	stopped_ns += 5 * NS_PER_SECOND - 1;
	put_archive(w, "junk", "x");
	assert_int_equal(lookup(w, 0, "junk", &s), -EBADMSG);
	assert_int_equal(w->store->opens, 1);
	stopped_ns++;
	assert_int_equal(lookup(w, 0, "junk", &s), 0);
	assert_int_equal(w->store->opens, 2);
	assert_int_equal(w->store->lists, 0);
	world_free(w);
}

/* --- listings ------------------------------------------------------------------------ */

static void listed_names_are_known_without_being_opened(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	put_archive(w, "one", "x");
	put_archive(w, "two/deep", "x");
	listing_unref(list(w, 0));
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
	put_archive(w, "dir/key", "x");
	put_archive(w, "dir/other", "x");
	assert_int_equal(lookup(w, 0, "dir", &dir), 0);
	listing_unref(list(w, dir.number));
	assert_int_equal(lookup(w, dir.number, "key", &key), 0);
	memory_remove(w->store, "dir/key");
	stopped_ns = clock_monotonic_ns();
	unsigned opens = w->store->opens, lists = w->store->lists;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			doorway_generation(key.doorway, CALL_PATIENT, &g, NULL),
			-ENOENT);
		keyspace_lose(
			w->keyspace, key.number, doorway_shut_until(key.doorway));
	}
	assert_int_equal(w->store->opens, opens + 1);
	/* in use still, and when it is forgotten: the listing has it, and is not believed */
	assert_int_equal(lookup(w, dir.number, "key", &none), -ENOENT);
	keyspace_forget(w->keyspace, key.number, 1);
	assert_int_equal(lookup(w, dir.number, "key", &none), -ENOENT);
	assert_int_equal(lookup(w, dir.number, "other", &none), 0);
	assert_int_equal(w->store->opens, opens + 1);
	assert_int_equal(w->store->lists, lists);
	stopped_ns += 5 * NS_PER_SECOND - 1;
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, dir.number, "key", false, &none, NULL),
		-ENOENT);
	stopped_ns++;
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, dir.number, "key", false, &none, NULL),
		-EAGAIN);
	put_archive(w, "dir/key", "x");
	assert_int_equal(lookup(w, dir.number, "key", &none), 0);
	assert_int_equal(w->store->opens, opens + 2);
	keyspace_lose(w->keyspace, 0, UINT64_MAX); /* which has no name */
	world_free(w);
}

static void a_fresh_listing_is_used_again(void **state)
{
	struct world *w = world_new(NULL);
	struct listing *l = NULL;
	put_archive(w, "one", "x");
	stopped_ns = 77 * NS_PER_SECOND;
	assert_int_equal(
		keyspace_listing(w->keyspace, NULL, 0, false, &l, NULL), -EAGAIN);
	listing_unref(list(w, 0));
	stopped_ns += 5 * NS_PER_SECOND - 1;
	listing_unref(list(w, 0));
	assert_int_equal(keyspace_listing(w->keyspace, NULL, 0, false, &l, NULL), 0);
	listing_unref(l);
	assert_int_equal(w->store->lists, 1);
	stopped_ns++;
	assert_int_equal(
		keyspace_listing(w->keyspace, NULL, 0, false, &l, NULL), -EAGAIN);
	listing_unref(list(w, 0));
	assert_int_equal(w->store->lists, 2);
	world_free(w);
}

/* --- known names that change in the store ------------------------------------------- */

#define A_WHILE (5 * NS_PER_SECOND)

static int lookup_below(struct world *w, const struct shown *directory, const char *name,
	struct shown *ret)
{
	return keyspace_lookup(
		w->keyspace, NULL, directory->number, name, false, ret, NULL);
}

static int lookup_at_hand(struct world *w, const char *name, struct shown *ret)
{
	return lookup_below(w, &(struct shown){0}, name, ret);
}

/* A world whose top directory was listed at this moment, with the clock stopped. */
static struct world *listed_world(const char *const keys[])
{
	struct world *w = world_new(NULL);
	for (; *keys; keys++)
		put_archive(w, *keys, "x");
	stopped_ns = 77 * NS_PER_SECOND;
	listing_unref(list(w, 0));
	return w;
}

static void a_known_name_that_a_newer_listing_lacks_is_asked_for(void **state)
{
	struct world *w = listed_world((const char *[]){"k0", "k1", "dir/k", NULL});
	struct shown k0, k1, dir, s;
	assert_int_equal(lookup(w, 0, "k0", &k0), 0);
	assert_int_equal(lookup(w, 0, "k1", &k1), 0);
	assert_int_equal(lookup(w, 0, "dir", &dir), 0);
	memory_remove(w->store, "k1");
	memory_remove(w->store, "dir/k");
	stopped_ns += A_WHILE;
	listing_unref(list(w, 0));
	assert_int_equal(lookup_at_hand(w, "k1", &s), -EAGAIN);
	assert_int_equal(lookup_at_hand(w, "dir", &s), -EAGAIN);
	assert_int_equal(lookup_at_hand(w, "k0", &s), 0);
	assert_int_equal(s.number, k0.number);
	assert_int_equal(lookup(w, 0, "k1", &s), -ENOENT);
	assert_int_equal(lookup(w, 0, "dir", &s), -ENOENT);
	/* who has them open still has them, and they may come back */
	assert_int_equal(keyspace_node(w->keyspace, k1.number, &s), 0);
	assert_int_equal(keyspace_node(w->keyspace, dir.number, &s), 0);
	stopped_ns += A_WHILE;
	put_archive(w, "k1", "y");
	put_archive(w, "dir/other", "y");
	assert_int_equal(lookup(w, 0, "k1", &s), 0);
	assert_int_equal(s.number, k1.number);
	assert_int_equal(lookup(w, 0, "dir", &s), 0);
	assert_int_equal(s.number, dir.number);
	assert_int_equal(lookup_at_hand(w, "k1", &s), 0);
	assert_int_equal(lookup_at_hand(w, "dir", &s), 0);
	world_free(w);
}

static void a_known_directory_that_became_a_key_is_the_key(void **state)
{
	struct world *w = listed_world((const char *[]){"name/k", NULL});
	struct shown old, fresh, s;
	assert_int_equal(lookup(w, 0, "name", &old), 0);
	assert_null(old.doorway);
	put_archive(w, "name", "x"); /* now it is both */
	stopped_ns += A_WHILE;
	listing_unref(list(w, 0));
	assert_int_equal(lookup(w, 0, "name", &fresh), 0);
	assert_non_null(fresh.doorway);
	assert_int_not_equal(fresh.number, old.number);
	/* the directory is there by its number, and what lies below it */
	assert_int_equal(lookup(w, old.number, "k", &s), 0);
	keyspace_forget(w->keyspace, old.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, old.number, &old), 0);
	keyspace_forget(w->keyspace, s.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, old.number, &old), -ENOENT);
	assert_int_equal(lookup_at_hand(w, "name", &s), 0);
	assert_int_equal(s.number, fresh.number);
	world_free(w);
}

static void a_known_key_that_became_a_directory_is_the_directory(void **state)
{
	struct world *w = listed_world((const char *[]){"name", NULL});
	struct shown old, fresh, s;
	assert_int_equal(lookup(w, 0, "name", &old), 0);
	memory_remove(w->store, "name");
	put_archive(w, "name/k", "x");
	stopped_ns += A_WHILE;
	assert_int_equal(lookup(w, 0, "name", &fresh), 0);
	assert_null(fresh.doorway);
	assert_int_equal(lookup(w, fresh.number, "k", &s), 0);
	/* what the old one's readers find out is nothing to the new one */
	keyspace_lose(w->keyspace, old.number, UINT64_MAX);
	assert_int_equal(lookup_at_hand(w, "name", &s), 0);
	assert_int_equal(s.number, fresh.number);
	world_free(w);
}

static void a_directory_that_turns_out_empty_is_asked_for(void **state)
{
	struct world *w = listed_world((const char *[]){"name/k", NULL});
	struct shown old, s;
	assert_int_equal(lookup(w, 0, "name", &old), 0);
	memory_remove(w->store, "name/k");
	put_archive(w, "name", "x");
	stopped_ns += A_WHILE;
	assert_int_equal(lookup_at_hand(w, "name", &s), 0);
	listing_unref(list(w, old.number));
	assert_int_equal(lookup(w, 0, "name", &s), 0);
	assert_non_null(s.doorway);
	world_free(w);
}

static void a_path_into_an_opened_key_stays(void **state)
{
	struct world *w = listed_world((const char *[]){"a/b/k", "k0", NULL});
	struct shown a, b, k, s;
	assert_int_equal(lookup(w, 0, "a", &a), 0);
	assert_int_equal(lookup(w, a.number, "b", &b), 0);
	assert_int_equal(lookup(w, b.number, "k", &k), 0);
	memory_remove(w->store, "a/b/k");
	stopped_ns += A_WHILE;
	listing_unref(list(w, 0));
	listing_unref(list(w, a.number));
	listing_unref(list(w, b.number));
	assert_int_equal(lookup_at_hand(w, "a", &s), 0);
	assert_int_equal(s.number, a.number);
	assert_int_equal(lookup_below(w, &a, "b", &s), 0);
	assert_int_equal(lookup_below(w, &b, "k", &s), 0);
	/* nor is it exchanged for what is a key by now */
	put_archive(w, "a", "x");
	stopped_ns += A_WHILE;
	listing_unref(list(w, 0));
	assert_int_equal(lookup_at_hand(w, "a", &s), 0);
	assert_int_equal(s.number, a.number);
	/* until nobody has that key any more */
	memory_remove(w->store, "a");
	keyspace_forget(w->keyspace, k.number, 2);
	assert_int_equal(lookup_at_hand(w, "a", &s), -EAGAIN);
	assert_int_equal(lookup(w, 0, "a", &s), -ENOENT);
	world_free(w);
}

/* What has lost its name is reached by nobody who comes anew. */
static void no_path_leads_through_what_lost_its_name(void **state)
{
	struct world *w = listed_world((const char *[]){"a/name/k", NULL});
	struct shown a, old, fresh, s;
	assert_int_equal(lookup(w, 0, "a", &a), 0);
	listing_unref(list(w, a.number));
	assert_int_equal(lookup(w, a.number, "name", &old), 0);
	put_archive(w, "a/name", "x");
	stopped_ns += A_WHILE;
	listing_unref(list(w, a.number));
	assert_int_equal(lookup(w, a.number, "name", &fresh), 0);
	assert_int_not_equal(fresh.number, old.number);
	assert_int_equal(lookup(w, old.number, "k", &s), 0);
	memory_remove(w->store, "a/name");
	memory_remove(w->store, "a/name/k");
	put_archive(w, "k0", "x");
	listing_unref(list(w, 0));
	assert_int_equal(lookup_at_hand(w, "a", &s), 0); /* to fresh, which is open */
	keyspace_forget(w->keyspace, fresh.number, 1);
	assert_int_equal(lookup_at_hand(w, "a", &s), -EAGAIN);
	world_free(w);
}

static void list_and_open_below(struct world *w)
{
	struct shown directory;
	w->when_opened = NULL;
	memory_remove(w->store, "name");
	put_archive(w, "name/k", "x");
	listing_unref(list(w, 0));
	assert_int_equal(lookup_at_hand(w, "name", &directory), 0);
	assert_int_equal(lookup(w, directory.number, "k", &w->meanwhile), 0);
}

static void a_key_that_was_found_takes_no_path_from_an_opened_one(void **state)
{
	struct world *w = world_new(NULL);
	struct shown s;
	put_archive(w, "name", "x");
	w->when_opened = list_and_open_below;
	assert_int_equal(lookup(w, 0, "name", &s), 0);
	assert_null(s.doorway);
	assert_int_equal(lookup_below(w, &s, "k", &s), 0);
	assert_int_equal(s.number, w->meanwhile.number);
	world_free(w);
}

/* The request that finds it out is the one that opens the key for who reads on. */
static void a_key_that_was_not_opened_is_believed_for_a_while(void **state)
{
	struct world *w = listed_world((const char *[]){"k", "dir/k", NULL});
	struct shown s;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	assert_int_equal(lookup(w, 0, "k", &s), 0);
	assert_int_equal(lookup(w, 0, "dir", &s), 0);
	stopped_ns += A_WHILE - 1;
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_int_equal(w->store->opens, 0);
	stopped_ns++;
	assert_int_equal(lookup_at_hand(w, "k", &s), -EAGAIN);
	assert_int_equal(lookup(w, 0, "k", &s), 0);
	assert_int_equal(doorway_generation(s.doorway, CALL_PATIENT, &g, NULL), 0);
	assert_int_equal(w->store->opens, 1);
	/* once open it stays, and a directory does unless something speaks against it */
	memory_remove(w->store, "k");
	stopped_ns += 100 * A_WHILE;
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_int_equal(lookup_at_hand(w, "dir", &s), 0);
	listing_unref(list(w, 0));
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_int_equal(w->store->opens, 1);
	assert_int_equal(w->store->lists, 2);
	cleanup_generation(&g);
	world_free(w);
}

static void a_newer_listing_vouches_for_a_known_name(void **state)
{
	struct world *w = listed_world((const char *[]){"k", NULL});
	struct shown dir, s;
	put_archive(w, "dir/k", "x");
	assert_int_equal(lookup(w, 0, "dir", &dir), 0);
	assert_int_equal(lookup(w, 0, "k", &s), 0);
	int64_t before_s = s.mtime_s;
	put_archive(w, "k", "y");
	stopped_ns += A_WHILE;
	listing_unref(list(w, 0));
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	assert_true(s.mtime_s > before_s);
	/* in which a directory has no time: it keeps the one that it was shown with */
	assert_int_equal(lookup_at_hand(w, "dir", &s), 0);
	assert_int_equal(s.mtime_s, dir.mtime_s);
	stopped_ns += A_WHILE - 1;
	assert_int_equal(lookup_at_hand(w, "k", &s), 0);
	stopped_ns++;
	assert_int_equal(lookup_at_hand(w, "k", &s), -EAGAIN);
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
	assert_int_equal(listing_fetch(&store->base, CALL_PATIENT, "p", &second, NULL), 0);
	assert_int_equal(listing_count(first), 40);
	assert_int_equal(listing_count(second), 40);
	/* half of the one, then the rest of the other: every name that is in both, once */
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

/* --- forgetting ----------------------------------------------------------------------- */

static void forgotten_nodes_are_freed_and_their_numbers_gone(void **state)
{
	struct world *w = world_new(NULL);
	struct shown a, key, again;
	put_archive(w, "a/key", "x");
	assert_int_equal(lookup(w, 0, "a", &a), 0);
	assert_int_equal(lookup(w, a.number, "key", &key), 0);
	assert_int_equal(lookup(w, a.number, "key", &key), 0);
	assert_int_equal(w->store->objects, 1);
	keyspace_forget(w->keyspace, a.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, a.number, &again), 0); /* has a child */
	keyspace_forget(w->keyspace, key.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, key.number, &again), 0);
	keyspace_forget(w->keyspace, key.number, 1);
	assert_int_equal(keyspace_node(w->keyspace, key.number, &again), -ENOENT);
	assert_int_equal(keyspace_node(w->keyspace, a.number, &again), -ENOENT);
	assert_int_equal(w->store->objects, 0);
	assert_int_equal(lookup(w, 0, "a", &again), 0);
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
			assert_int_equal(lookup(w, 0, name, &s[i]), 0);
			assert_true(i == 0 || s[i].number != s[i - 1].number);
		}
	}
	for (int i = 0; i < 40; i++)
		keyspace_forget(w->keyspace, s[i].number, 8);
	for (int i = 0; i < 40; i++)
		assert_int_equal(keyspace_node(w->keyspace, s[i].number, &s[i]), -ENOENT);
	world_free(w);
}

/* --- many at once --------------------------------------------------------------------- */

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
	put_archive(w, "k", "x");
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
	put_archive(w, "fast", "x");
	listing_unref(list(w, 0));
	memory_hold(w->store);
	start(&held, w, "slow");
	memory_wait_held(w->store, 1);
	assert_int_equal(
		keyspace_lookup(w->keyspace, NULL, 0, "fast", false, &s, NULL), 0);
	listing_unref(list(w, 0));
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
	put_archive(w, "k", "x");
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
		cmocka_unit_test(a_known_name_that_a_newer_listing_lacks_is_asked_for),
		cmocka_unit_test(a_known_directory_that_became_a_key_is_the_key),
		cmocka_unit_test(a_known_key_that_became_a_directory_is_the_directory),
		cmocka_unit_test(a_directory_that_turns_out_empty_is_asked_for),
		cmocka_unit_test(a_path_into_an_opened_key_stays),
		cmocka_unit_test(no_path_leads_through_what_lost_its_name),
		cmocka_unit_test(a_key_that_was_found_takes_no_path_from_an_opened_one),
		cmocka_unit_test(a_key_that_was_not_opened_is_believed_for_a_while),
		cmocka_unit_test(a_newer_listing_vouches_for_a_known_name),
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
