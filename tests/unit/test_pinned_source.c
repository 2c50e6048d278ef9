#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/pinned_source.h"
#include "fetch/store_impl.h"

#define CONTENT      "the same bytes each time"
#define CONTENT_SIZE (sizeof(CONTENT) - 1)
#define READERS      50

/* The clock that the source sees (linked with --wrap). */
static _Atomic uint64_t now_ns = NS_PER_SECOND;

uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void)
{
	return now_ns;
}

/* --- a store whose one key changes version when the test says so ------------------- */

struct fake {
	struct store base;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int version;             /* under lock; the one that the key has; 0: none */
	bool restless;           /* another version after each open */
	int open_result;         /* under lock; 0: opens */
	uint64_t open_size;      /* what a fresh object is said to have */
	int opens;               /* under lock */
	int reads;               /* under lock */
	int freed;               /* under lock: version freed last */
	bool hold_opens;         /* under lock: opens wait, until cancelled */
	int waiting_opens;       /* under lock */
	int reads_to_hold;       /* under lock: so many of the next reads wait */
	int waiting_reads;       /* under lock */
	int let_go;              /* under lock: held reads go on */
	pthread_barrier_t *meet; /* reads of version 1 meet here */
};

struct fake_object {
	struct object base;
	struct fake *fake;
	int version;
};

static void hold_read(struct fake *f)
{
	LOCK_SCOPE(&f->lock);
	if (!f->reads_to_hold)
		return;
	f->reads_to_hold--;
	f->waiting_reads++;
	pthread_cond_broadcast(&f->changed);
	while (!f->let_go)
		pthread_cond_wait(&f->changed, &f->lock);
	f->waiting_reads--;
}

static int read_verdict(struct fake *f, int version)
{
	LOCK_SCOPE(&f->lock);
	f->reads++;
	pthread_cond_broadcast(&f->changed);
	if (!f->version)
		return -ENOENT;
	return f->version == version ? 0 : -ESTALE;
}

static int fake_read(struct range_source *s, const struct call *call, uint64_t offset,
	size_t len, void *buf, struct error *e)
{
	struct fake_object *o = (struct fake_object *)s;
	struct fake *f = o->fake;
	if (f->meet && o->version == 1)
		pthread_barrier_wait(f->meet);
	hold_read(f);
	int r = read_verdict(f, o->version);
	if (r < 0)
		return error_set(e, r, "fake");
	memcpy(buf, &CONTENT[offset], len);
	return 0;
}

static void fake_free(struct range_source *s)
{
	struct fake_object *o = (struct fake_object *)s;
	LOCK_SCOPE(&o->fake->lock);
	o->fake->freed = o->version;
	free(o->base.tail);
	free(o);
}

static const struct range_source_ops fake_source_ops = {
	.read = fake_read,
	.free = fake_free,
};

static struct object *fake_object(struct fake *f, int version, uint64_t size)
{
	struct fake_object *o = malloc(sizeof(*o));
	assert_non_null(o);
	*o = (struct fake_object){
		.base.source = {&fake_source_ops, size},
		.base.pin = {.size = size},
		.fake = f,
		.version = version,
	};
	o->base.pin.etag[0] = (char)('0' + version % 10);
	o->base.tail = malloc(1);
	return &o->base;
}

/* Waits while opens are held; the call of the one that waits may be cancelled. */
static int hold_open(struct fake *f, const struct call *call)
{
	int r = 0;
	call_attach(call, &f->lock, &f->changed);
	pthread_mutex_lock(&f->lock);
	f->waiting_opens++;
	pthread_cond_broadcast(&f->changed);
	while (f->hold_opens && r == 0)
		r = call_wait(call, &f->lock, &f->changed);
	f->waiting_opens--;
	pthread_mutex_unlock(&f->lock);
	call_detach(call);
	return r;
}

static int fake_open(struct store *s, const struct call *call, const char *key,
	size_t tail_len, struct object **ret, bool *ret_denied, struct error *e)
{
	struct fake *f = (struct fake *)s;
	int r = hold_open(f, call);
	LOCK_SCOPE(&f->lock);
	f->opens++;
	if (r == 0)
		r = f->open_result;
	if (r < 0)
		return error_set(e, r, "the fake store says so");
	*ret = fake_object(f, f->version, f->open_size);
	if (f->restless)
		f->version++;
	return 0;
}

static const struct store_ops fake_ops = {.open_object = fake_open};

static void fake_init(struct fake *f)
{
	*f = (struct fake){.base = {.ops = &fake_ops, .name = (char *)"fake"},
		.version = 1,
		.open_size = CONTENT_SIZE};
	pthread_mutex_init(&f->lock, NULL);
	assert_int_equal(condition_init(&f->changed), 0);
}

static void fake_finish(struct fake *f)
{
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}

static void fake_set(struct fake *f, int *field, int value)
{
	LOCK_SCOPE(&f->lock);
	*field = value;
	pthread_cond_broadcast(&f->changed);
}

static int fake_get(struct fake *f, const int *field)
{
	LOCK_SCOPE(&f->lock);
	return *field;
}

static void wait_until(struct fake *f, const int *field, int value)
{
	LOCK_SCOPE(&f->lock);
	while (*field != value)
		pthread_cond_wait(&f->changed, &f->lock);
}

/* --- judges ------------------------------------------------------------------------ */

struct judgement {
	int result;
	atomic_int count;
	struct object *kept; /* stolen */
};

static int judge(
	void *arg, const struct call *call, struct object **fresh, struct error *e)
{
	struct judgement *j = arg;
	j->count++;
	if (j->result == -ESTALE)
		j->kept = steal_pointer(*fresh);
	return j->result == 0 ? 0 : error_set(e, j->result, "the judge says so");
}

static struct range_source *source_of(struct fake *f, struct judgement *j)
{
	struct range_source *s = NULL;
	assert_int_equal(pinned_source_new(&f->base, "k", fake_object(f, 1, CONTENT_SIZE),
				 8, judge, j, &s),
		0);
	return s;
}

static int read_some(struct range_source *s, const struct call *call, struct error *e)
{
	char buf[4] = "";
	int r = range_source_read(s, call, 4, 4, buf, e);
	if (r == 0)
		assert_memory_equal(buf, &CONTENT[4], 4);
	return r;
}

#define WITH_FAKE(f)                                                                     \
	CLEANUP(fake_finish) struct fake f;                                              \
	fake_init(&f)
#define WITH_SOURCE(s, f, j)                                                             \
	CLEANUP(cleanup_range_source) struct range_source *s = source_of(&f, &j)

/* --- tests ------------------------------------------------------------------------- */

static void reads_go_through_while_nothing_changes(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(f.opens, 0);
	assert_int_equal(s->size, CONTENT_SIZE);
}

static void the_same_content_is_pinned_anew(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(f.opens, 1);
	assert_int_equal(j.count, 1);
	assert_int_equal(f.freed, 1);
	assert_int_equal(pinned_source_reopens(s), 1);
	assert_false(pinned_source_superseded(s));
	struct pin pin;
	pinned_source_pin(s, &pin);
	assert_string_equal(pin.etag, "2");
}

static void other_content_supersedes(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {.result = -ESTALE};
	struct error e = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	assert_int_equal(read_some(s, CALL_PATIENT, &e), -ESTALE);
	assert_string_equal(e.text, "the judge says so");
	assert_true(pinned_source_superseded(s));
	CLEANUP(cleanup_object) struct object *kept = j.kept;
	assert_non_null(kept);
	assert_string_equal(object_pin(kept)->etag, "2");
	int reads = f.reads;
	f.version = 1; /* even if the old one came back */
	assert_int_equal(read_some(s, CALL_PATIENT, &e), -ESTALE);
	assert_int_equal(f.reads, reads);
	assert_int_equal(f.opens, 1);
	assert_int_equal(pinned_source_reopens(s), 0);
}

static void the_same_content_in_another_size_is_none(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	f.open_size = CONTENT_SIZE + 1;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), -ESTALE);
	assert_int_equal(f.freed, 2);
	assert_true(pinned_source_superseded(s));
}

static void a_vanished_key_is_asked_for_again_after_a_while(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	f.version = 0;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), -ENOENT);
	f.version = 1;
	now_ns += 5 * NS_PER_SECOND - 1;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), -ENOENT);
	assert_int_equal(f.reads, 1);
	now_ns += 1;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(f.reads, 2);
}

static void a_key_that_vanished_before_it_was_reopened_may_return(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	f.open_result = -ENOENT;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), -ENOENT);
	f.open_result = 0;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), -ENOENT);
	assert_int_equal(f.opens, 1);
	now_ns += 5 * NS_PER_SECOND;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(f.opens, 2);
}

static void a_version_that_differs_in_every_answer_ends_in_eio(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	struct error e = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	f.restless = true;
	assert_int_equal(read_some(s, CALL_PATIENT, &e), -EIO);
	assert_string_equal(e.text, "'k' in 'fake' is another version in every answer");
	assert_int_equal(f.opens, PINNED_REOPENS);
	f.restless = false; /* and when it settles, reads go on */
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
}

static void a_reopen_that_fails_is_tried_again_by_the_next_read(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	struct error e = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	f.open_result = -EIO;
	assert_int_equal(read_some(s, CALL_PATIENT, &e), -EIO);
	assert_string_equal(e.text, "the fake store says so");
	f.open_result = 0;
	j.result = -EBADMSG;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), -EBADMSG);
	assert_false(pinned_source_superseded(s));
	j.result = 0;
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(f.opens, 3);
}

/* --- with threads ------------------------------------------------------------------ */

struct reader {
	pthread_t thread;
	struct range_source *source;
	struct call call;
	struct error error;
	int result;
};

static void *read_in_thread(void *arg)
{
	struct reader *r = arg;
	r->result = read_some(r->source, &r->call, &r->error);
	return NULL;
}

static void reader_start(struct reader *r, struct range_source *s, struct cancel *cancel)
{
	*r = (struct reader){
		.source = s, .call = {.deadline_ns = DEADLINE_NONE, .cancel = cancel}};
	assert_int_equal(pthread_create(&r->thread, NULL, read_in_thread, r), 0);
}

static int reader_join(struct reader *r)
{
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	return r->result;
}

static void meet_one_change(int open_result, int expected)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	pthread_barrier_t meet;
	pthread_barrier_init(&meet, NULL, READERS);
	f.meet = &meet;
	f.version = 2;
	f.open_result = open_result;
	f.hold_opens = true;
	struct reader readers[READERS];
	for (int i = 0; i < READERS; i++)
		reader_start(&readers[i], s, NULL);
	wait_until(&f, &f.waiting_opens, 1);
	pthread_mutex_lock(&f.lock);
	f.hold_opens = false;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(reader_join(&readers[i]), expected);
	if (!open_result)
		assert_int_equal(f.opens, 1);
	pthread_barrier_destroy(&meet);
}

static void many_readers_reopen_once(void **state)
{
	meet_one_change(0, 0);
}

static void many_readers_share_a_miss(void **state)
{
	meet_one_change(-ENOENT, -ENOENT);
}

static void an_object_lives_until_its_last_read_ends(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	struct reader slow;
	f.reads_to_hold = 1;
	reader_start(&slow, s, NULL);
	wait_until(&f, &f.waiting_reads, 1);
	fake_set(&f, &f.version, 2);
	assert_int_equal(read_some(s, CALL_PATIENT, NULL), 0);
	assert_int_equal(fake_get(&f, &f.opens), 1);
	assert_int_equal(fake_get(&f, &f.freed), 0);
	fake_set(&f, &f.let_go, 1);
	assert_int_equal(reader_join(&slow), 0);
	assert_int_equal(fake_get(&f, &f.freed), 1);
	assert_int_equal(fake_get(&f, &f.opens), 1);
}

static void a_leader_that_gives_up_leaves_the_lead(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	struct cancel cancel;
	cancel_init(&cancel);
	f.version = 2;
	f.hold_opens = true;
	struct reader leader, follower;
	reader_start(&leader, s, &cancel);
	wait_until(&f, &f.waiting_opens, 1);
	reader_start(&follower, s, NULL);
	wait_until(&f, &f.reads, 2);
	cancel_fire(&cancel);
	assert_int_equal(reader_join(&leader), -ECANCELED);
	wait_until(&f, &f.waiting_opens, 1);
	pthread_mutex_lock(&f.lock);
	f.hold_opens = false;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
	assert_int_equal(reader_join(&follower), 0);
	assert_int_equal(f.opens, 2);
	cancel_finish(&cancel);
}

static void a_follower_keeps_its_own_patience(void **state)
{
	WITH_FAKE(f);
	struct judgement j = {0};
	WITH_SOURCE(s, f, j);
	f.version = 2;
	f.hold_opens = true;
	struct reader leader;
	reader_start(&leader, s, NULL);
	wait_until(&f, &f.waiting_opens, 1);
	struct error e = {0};
	assert_int_equal(
		read_some(s, &(const struct call){.deadline_ns = 1}, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "'k'"));
	pthread_mutex_lock(&f.lock);
	f.hold_opens = false;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
	assert_int_equal(reader_join(&leader), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_go_through_while_nothing_changes),
		cmocka_unit_test(the_same_content_is_pinned_anew),
		cmocka_unit_test(other_content_supersedes),
		cmocka_unit_test(the_same_content_in_another_size_is_none),
		cmocka_unit_test(a_vanished_key_is_asked_for_again_after_a_while),
		cmocka_unit_test(a_key_that_vanished_before_it_was_reopened_may_return),
		cmocka_unit_test(a_version_that_differs_in_every_answer_ends_in_eio),
		cmocka_unit_test(a_reopen_that_fails_is_tried_again_by_the_next_read),
		cmocka_unit_test(many_readers_reopen_once),
		cmocka_unit_test(many_readers_share_a_miss),
		cmocka_unit_test(an_object_lives_until_its_last_read_ends),
		cmocka_unit_test(a_leader_that_gives_up_leaves_the_lead),
		cmocka_unit_test(a_follower_keeps_its_own_patience),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
