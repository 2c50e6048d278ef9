#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/base/bytes.h"
#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/digest.h"
#include "fetch/base/error.h"
#include "fetch/base/lock.h"
#include "fetch/base/vec.h"

static void a_buffer_keeps_its_cap(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(8);
	assert_int_equal(buf_append_str(&b, "12345"), 0);
	assert_int_equal(buf_append_str(&b, "6789"), -EMSGSIZE);
	assert_string_equal(buf_str(&b), "12345");
	assert_int_equal(buf_printf(&b, "%d", 678), 0);
	assert_string_equal(buf_str(&b), "12345678");
	assert_int_equal(buf_append(&b, "", 1), -EMSGSIZE);
	CLEANUP(cleanup_free) char *stolen = buf_steal(&b);
	assert_string_equal(stolen, "12345678");
	assert_string_equal(buf_str(&b), "");
}

DEFINE_VEC(int_vec, int);

static void a_vector_keeps_its_cap(void **state)
{
	CLEANUP(int_vec_finish) struct int_vec v = { .max = 20 };
	for (int i = 0; i < 20; i++)
		assert_int_equal(int_vec_push(&v, i), 0);
	assert_int_equal(int_vec_push(&v, 20), -E2BIG);
	assert_int_equal(v.len, 20);
	assert_int_equal(v.data[19], 19);
}

static void an_error_is_one_harmless_line(void **state)
{
	struct error e = { 0 };
	assert_int_equal(error_set(&e, -EIO, "key '%s'", "a\nb\x1b[0m"), -EIO);
	assert_string_equal(e.text, "key 'a?b?[0m'");
	assert_int_equal(error_prefix(&e, "cannot read: "), -EIO);
	assert_string_equal(e.text, "cannot read: key 'a?b?[0m'");
	error_set_errno(&e, -ENOENT, "open '%s'", "x");
	assert_string_equal(e.text, "open 'x': No such file or directory");
}

static void a_long_error_is_cut(void **state)
{
	char word[2000];
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	struct error e = { 0 };
	error_set(&e, -EIO, "%s", word);
	assert_int_equal(strlen(e.text), ERROR_TEXT_SIZE - 1);
	error_prefix(&e, "%s", word);
	assert_int_equal(strlen(e.text), ERROR_TEXT_SIZE - 1);
}

static void integers_are_little_endian(void **state)
{
	uint8_t b[8];
	store_le32(b, 0x184D2A5E);
	assert_memory_equal(b, "\x5e\x2a\x4d\x18", 4);
	store_le64(b, UINT64_C(0x0102030405060708));
	assert_int_equal(load_le16(b), 0x0708);
	assert_true(load_le64(b) == UINT64_C(0x0102030405060708));
}

static void arithmetic_is_checked(void **state)
{
	uint64_t n = 5;
	assert_false(checked_add(UINT64_MAX, 1, &n));
	assert_false(checked_mul(UINT64_MAX / 2, 3, &n));
	assert_int_equal(n, 5);
	assert_true(range_within(10, 0, 10));
	assert_false(range_within(10, 1, 10));
	assert_false(range_within(2, UINT64_MAX, 10));
}

/* FIPS 180-4's example. */
static void digests_are_sha256(void **state)
{
	static const char abc[] =
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct digest d, parsed;
	char hex[DIGEST_HEX_SIZE];
	assert_int_equal(digest_of("abc", 3, &d), 0);
	digest_hex(&d, hex);
	assert_string_equal(hex, abc);
	assert_int_equal(digest_parse(abc, &parsed), 0);
	assert_true(digest_equal(&d, &parsed));
	assert_int_equal(digest_parse("ba78", &parsed), -EINVAL);
	hex[10] = 'g';
	assert_int_equal(digest_parse(hex, &parsed), -EINVAL);
}

static void a_hasher_begins_anew_after_finish(void **state)
{
	struct hasher *h = hasher_new();
	struct digest once, twice, whole;
	assert_int_equal(digest_of("abc", 3, &whole), 0);
	hasher_update(h, "a", 1);
	hasher_update(h, "bc", 2);
	hasher_finish(h, &once);
	hasher_update(h, "abc", 3);
	hasher_finish(h, &twice);
	hasher_free(h);
	assert_true(digest_equal(&once, &whole));
	assert_true(digest_equal(&twice, &whole));
}

static void a_call_past_its_deadline_does_not_wait(void **state)
{
	struct call call = { .deadline_ns = clock_monotonic_ns() };
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c;
	assert_int_equal(condition_init(&c), 0);
	LOCK_SCOPE(&m);
	assert_int_equal(call_wait(&call, &m, &c), -ETIMEDOUT);
	assert_int_equal(call_pause(&call, clock_monotonic_ns() + NS_PER_SECOND), -ETIMEDOUT);
	assert_int_equal(call_pause(CALL_PATIENT, clock_monotonic_ns()), 0);
}

struct waiter {
	struct call call;
	int result;
};

static void *wait_for_ever(void *arg)
{
	struct waiter *w = arg;
	w->result = call_pause(&w->call, DEADLINE_NONE - 1);
	return NULL;
}

static void cancelling_wakes_the_waiter(void **state)
{
	struct cancel cancel;
	cancel_init(&cancel);
	struct waiter w = { .call = { .deadline_ns = DEADLINE_NONE, .cancel = &cancel } };
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_ever, &w), 0);
	cancel_fire(&cancel);
	pthread_join(thread, NULL);
	assert_int_equal(w.result, -ECANCELED);
	assert_int_equal(call_check(&w.call), -ECANCELED);
	cancel_finish(&cancel);
}

static int wait_once(const struct call *call)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c;
	assert_int_equal(condition_init(&c), 0);
	pthread_mutex_lock(&m);
	int r = call_wait(call, &m, &c);
	pthread_mutex_unlock(&m);
	pthread_cond_destroy(&c);
	return r;
}

static void a_grace_outlasts_the_cancel_but_not_the_deadline(void **state)
{
	struct cancel cancel;
	cancel_init(&cancel);
	struct call call = { .deadline_ns = DEADLINE_NONE,
		.cancel = &cancel,
		.grace_ns = 3600 * NS_PER_SECOND };
	uint64_t begun_ns = clock_monotonic_ns();
	cancel_fire(&cancel);
	assert_int_equal(call_check(&call), 0);
	assert_int_equal(call_pause(&call, DEADLINE_NONE - 1), -ECANCELED);
	call.deadline_ns = begun_ns + 10 * NS_PER_MS;
	while (wait_once(&call) == 0)
		;
	assert_true(clock_monotonic_ns() >= call.deadline_ns);
	assert_int_equal(call_check(&call), -ETIMEDOUT);
	call.deadline_ns = DEADLINE_NONE;
	call.grace_ns = clock_monotonic_ns() - begun_ns + 10 * NS_PER_MS;
	while (wait_once(&call) == 0)
		cancel_fire(&cancel); /* again changes nothing */
	assert_true(clock_monotonic_ns() >= begun_ns + call.grace_ns);
	assert_int_equal(call_check(&call), -ECANCELED);
	cancel_finish(&cancel);
}

static void a_buffer_grows_by_doubling(void **state)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(100000);
	unsigned growths = 0;
	for (size_t i = 0, size = 0; i < 100000; i++, size = b.size) {
		assert_int_equal(buf_append(&b, "x", 1), 0);
		growths += b.size != size;
	}
	assert_in_range(growths, 1, 20);
	assert_int_equal(b.size, 100001);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_keeps_its_cap),
		cmocka_unit_test(a_buffer_grows_by_doubling),
		cmocka_unit_test(a_vector_keeps_its_cap),
		cmocka_unit_test(an_error_is_one_harmless_line),
		cmocka_unit_test(a_long_error_is_cut),
		cmocka_unit_test(integers_are_little_endian),
		cmocka_unit_test(arithmetic_is_checked),
		cmocka_unit_test(digests_are_sha256),
		cmocka_unit_test(a_hasher_begins_anew_after_finish),
		cmocka_unit_test(a_call_past_its_deadline_does_not_wait),
		cmocka_unit_test(cancelling_wakes_the_waiter),
		cmocka_unit_test(a_grace_outlasts_the_cancel_but_not_the_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
