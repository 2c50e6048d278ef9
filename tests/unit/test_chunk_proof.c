#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/chunk_proof.h"

#define LEN 100000

static unsigned digests; /* computed since it was last set */

int __real_digest_of(const void *data, size_t len, struct digest *ret);
int __wrap_digest_of(const void *data, size_t len, struct digest *ret);
int __wrap_digest_of(const void *data, size_t len, struct digest *ret)
{
	digests++;
	return __real_digest_of(data, len, ret);
}

static void fill(unsigned char data[static LEN], unsigned n)
{
	for (unsigned i = 0; i < LEN; i++)
		data[i] = (unsigned char)(n + i * (n + 3) / 7);
}

struct fixture {
	unsigned char data[LEN];
	struct digest digest;
	struct seals *seals;
	struct chunk chunk;
};

static void fixture_init(struct fixture *f, size_t seals, size_t number)
{
	fill(f->data, 1);
	assert_int_equal(digest_of(f->data, LEN, &f->digest), 0);
	f->seals = seals ? seals_new(seals) : NULL;
	assert_true(!seals || f->seals);
	f->chunk = (struct chunk){&f->digest, LEN, f->seals, number};
	digests = 0;
}

static void what_was_proved_is_known_again_without_a_digest(void **state)
{
	struct fixture f;
	fixture_init(&f, 10, 9);
	assert_int_equal(chunk_prove(&f.chunk, f.data), 0);
	assert_int_equal(digests, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(chunk_prove(&f.chunk, f.data), 0);
	assert_int_equal(digests, 1);
	seals_free(f.seals);
}

/* Each byte of the chunk and each bit of one counts, before the seal and after. */
static void a_changed_bit_is_found(void **state)
{
	struct fixture f;
	fixture_init(&f, 1, 0);
	f.data[LEN / 2] ^= 1;
	assert_int_equal(chunk_prove(&f.chunk, f.data), -EBADMSG);
	f.data[LEN / 2] ^= 1;
	assert_int_equal(chunk_prove(&f.chunk, f.data), 0);
	for (size_t i = 0; i < LEN; i += i < 32 || i > LEN - 32 ? 1 : 997) {
		f.data[i] ^= (unsigned char)(1 << i % 8);
		assert_int_equal(chunk_prove(&f.chunk, f.data), -EBADMSG);
		f.data[i] ^= (unsigned char)(1 << i % 8);
	}
	digests = 0;
	assert_int_equal(chunk_prove(&f.chunk, f.data), 0);
	assert_int_equal(digests, 0);
	seals_free(f.seals);
}

/* A seal says nothing about other bytes, other numbers, other lengths. */
static void a_seal_is_of_one_chunk(void **state)
{
	struct fixture f;
	unsigned char other[LEN];
	struct digest other_digest;
	fixture_init(&f, 2, 0);
	fill(other, 2);
	digest_of(other, LEN, &other_digest);
	assert_int_equal(chunk_prove(&f.chunk, f.data), 0);
	assert_int_equal(chunk_prove(&f.chunk, other), -EBADMSG);
	struct chunk second = {&other_digest, LEN, f.seals, 1};
	assert_int_equal(chunk_prove(&second, f.data), -EBADMSG);
	assert_int_equal(chunk_prove(&second, other), 0);
	struct chunk shorter = {&f.digest, LEN - 1, f.seals, 0};
	assert_int_equal(chunk_prove(&shorter, f.data), -EBADMSG);
	seals_free(f.seals);
}

static void without_a_place_the_digest_decides(void **state)
{
	struct fixture f, g;
	fixture_init(&f, 0, 0);
	fixture_init(&g, 3, 3);
	for (unsigned i = 1; i < 4; i++) {
		assert_int_equal(chunk_prove(&f.chunk, f.data), 0);
		assert_int_equal(chunk_prove(&g.chunk, g.data), 0);
		assert_int_equal(digests, 2 * i);
	}
	f.data[7]++;
	assert_int_equal(chunk_prove(&f.chunk, f.data), -EBADMSG);
	seals_free(g.seals);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_proved_is_known_again_without_a_digest),
		cmocka_unit_test(a_changed_bit_is_found),
		cmocka_unit_test(a_seal_is_of_one_chunk),
		cmocka_unit_test(without_a_place_the_digest_decides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
