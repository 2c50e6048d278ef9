#include "tests/unit/scratch.h"

#include <errno.h>

#include "fetch/probe_record.h"
#include "fetch/store_impl.h"

#define SCOPE "s3 https://minio.example:9000 ci"
#define NOW   INT64_C(1700000000)

static const struct probe_answer atomic_put = {HONOUR_ATOMIC, HONOUR_NO, NOW};

/* --- records -------------------------------------------------------------------------
 */

static void an_answer_is_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	const char *cache = scratch_path(&dir, "deep/cache");
	struct probe_answer back;
	assert_int_equal(probe_record_read(cache, SCOPE, NOW, &back), -ENOENT);
	assert_int_equal(probe_record_write(cache, SCOPE, &atomic_put), 0);
	assert_int_equal(probe_record_read(cache, SCOPE, NOW, &back), 0);
	assert_int_equal(back.put, HONOUR_ATOMIC);
	assert_int_equal(back.complete, HONOUR_NO);
	assert_int_equal(back.when_s, NOW);
	assert_int_equal(probe_record_read(cache, SCOPE "x", NOW, &back), -ENOENT);
	const struct probe_answer worse = {HONOUR_SEQUENTIAL, HONOUR_UNKNOWN, NOW};
	assert_int_equal(probe_record_write(cache, SCOPE, &worse), 0);
	assert_int_equal(probe_record_read(cache, SCOPE, NOW, &back), 0);
	assert_int_equal(back.put, HONOUR_SEQUENTIAL);
	assert_int_equal(scratch_count(&dir, ""), 1); /* nothing temporary is left */
}

static int read_aged(enum honour put, int64_t now_s)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	const struct probe_answer answer = {put, HONOUR_UNKNOWN, NOW};
	struct probe_answer back;
	assert_int_equal(probe_record_write(scratch_path(&dir, ""), SCOPE, &answer), 0);
	return probe_record_read(scratch_path(&dir, ""), SCOPE, now_s, &back);
}

static void answers_age(void **state)
{
	assert_int_equal(read_aged(HONOUR_ATOMIC, NOW + PROBE_KEPT_YES_S - 1), 0);
	assert_int_equal(read_aged(HONOUR_ATOMIC, NOW + PROBE_KEPT_YES_S), -ENOENT);
	assert_int_equal(read_aged(HONOUR_NO, NOW + PROBE_KEPT_NO_S - 1), 0);
	assert_int_equal(read_aged(HONOUR_NO, NOW + PROBE_KEPT_NO_S), -ENOENT);
	assert_int_equal(read_aged(HONOUR_ATOMIC, NOW - 1), -ENOENT);
}

static void no_record_is_kept_in_a_folder_of_other_things(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scratch_write(&dir, "thesis.pdf", "");
	assert_int_equal(probe_record_write(dir.path, SCOPE, &atomic_put), -EPERM);
	assert_int_equal(access(scratch_path(&dir, "probes"), F_OK), -1);
}

static const char *record_path(const struct scratch *dir)
{
	struct digest digest;
	char hex[DIGEST_HEX_SIZE], name[DIGEST_HEX_SIZE + 8];
	assert_int_equal(digest_of(SCOPE, strlen(SCOPE), &digest), 0);
	digest_hex(&digest, hex);
	snprintf(name, sizeof(name), "probes/%s", hex);
	return scratch_path(dir, name);
}

static void an_answer_that_others_may_have_laid_does_not_count(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	const char *cache = scratch_path(&dir, ""), *path = record_path(&dir);
	struct probe_answer back;
	struct stat st;
	assert_int_equal(probe_record_write(cache, SCOPE, &atomic_put), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(probe_record_read(cache, SCOPE, NOW, &back), -ENOENT);
	const char *elsewhere = scratch_path(&dir, "elsewhere");
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0);
	assert_int_equal(probe_record_read(cache, SCOPE, NOW, &back), -ENOENT);
}

static void what_is_no_record_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"larder probe 2\nscope " SCOPE "\nput atomic\ncomplete no\nwhen 1\n",
		"larder probe 1\nscope other\nput atomic\ncomplete no\nwhen 1\n",
		"larder probe 1\nscope " SCOPE "\nput perhaps\ncomplete no\nwhen 1\n",
		"larder probe 1\nscope " SCOPE "\nput atomic\ncomplete no\nwhen soon\n",
		"larder probe 1\nscope " SCOPE "\nput atomic\ncomplete no\nwhen 1x\n",
		"larder probe 1\nscope " SCOPE "\nput atomic\ncomplete no\nwhen 1",
		"larder probe 1\nscope " SCOPE "\nput atomic\n",
	};
	struct probe_answer back;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(probe_record_parse(bad[i], SCOPE, &back), -EBADMSG);
	assert_int_equal(probe_record_parse("larder probe 1\nscope " SCOPE
					    "\nput atomic\ncomplete no\nwhen 1\n",
				 SCOPE, &back),
		0);
	assert_int_equal(back.when_s, 1);
}

/* --- knowing and asking ---------------------------------------------------------------
 */

struct fake {
	struct store base;
	const char *scope;
	struct probe_answer answer;
	int result;
	unsigned asked;
};

static int fake_scope(struct store *s, struct buf *ret)
{
	return buf_append_str(ret, ((struct fake *)s)->scope);
}

static int fake_probe(struct store *s, const struct call *call, unsigned racers,
	unsigned rounds, struct probe_answer *ret, struct error *e)
{
	struct fake *f = (struct fake *)s;
	f->asked++;
	*ret = f->answer;
	return f->result;
}

static const struct store_ops fake_ops = {
	.probe_scope = fake_scope,
	.probe = fake_probe,
};

static struct fake fake_store(const char *scope, const char *cache_dir)
{
	return (struct fake){
		.base = {.ops = &fake_ops,
			.name = (char *)"fake",
			.settings.cache_dir = (char *)cache_dir},
		.scope = scope,
		.answer = {.put = HONOUR_ATOMIC},
	};
}

static void documented_stores_are_known(void **state)
{
	static const struct {
		const char *scope;
		int expected;
	} stores[] = {
		{"s3 https://s3.eu-west-1.amazonaws.com ci", 0},
		{"s3 https://s3.cn-north-1.amazonaws.com.cn ci", 0},
		{"s3 https://account.r2.cloudflarestorage.com ci", 0},
		{"s3 https://evilamazonaws.com ci", -ENOENT},
		{"s3 https://minio.example amazonaws.com", -ENOENT},
		{"http https://s3.eu-west-1.amazonaws.com /ci", -ENOENT},
	};
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		struct fake f = fake_store(stores[i].scope, "");
		struct probe_answer answer;
		assert_int_equal(probe_known(&f.base, &answer), stores[i].expected);
		if (stores[i].expected)
			continue;
		assert_int_equal(answer.put, HONOUR_ATOMIC);
		assert_int_equal(answer.complete, HONOUR_ATOMIC);
		assert_int_equal(answer.when_s, 0);
	}
}

static void what_was_asked_is_known_afterwards(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct fake f = fake_store(SCOPE, scratch_path(&dir, ""));
	struct probe_answer answer;
	assert_int_equal(probe_known(&f.base, &answer), -ENOENT);
	assert_int_equal(probe_ask(&f.base, CALL_PATIENT, 0, 0, &answer, NULL), 0);
	assert_true(answer.when_s > NOW);
	assert_int_equal(probe_known(&f.base, &answer), 0);
	assert_int_equal(answer.put, HONOUR_ATOMIC);
	assert_int_equal(f.asked, 1);
}

static void a_question_that_failed_is_not_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	struct fake f = fake_store(SCOPE, scratch_path(&dir, ""));
	struct probe_answer answer;
	f.result = -EACCES;
	assert_int_equal(probe_ask(&f.base, CALL_PATIENT, 0, 0, &answer, NULL), -EACCES);
	assert_int_equal(probe_known(&f.base, &answer), -ENOENT);
}

static void without_a_cache_it_is_asked_each_time(void **state)
{
	struct fake f = fake_store(SCOPE, "");
	struct probe_answer answer;
	assert_int_equal(probe_ask(&f.base, CALL_PATIENT, 0, 0, &answer, NULL), 0);
	assert_int_equal(probe_known(&f.base, &answer), -ENOENT);
}

static void a_kind_without_a_probe_needs_none(void **state)
{
	static const struct store_ops ops = {0};
	struct store s = {.ops = &ops};
	struct probe_answer answer;
	assert_int_equal(probe_known(&s, &answer), 0);
	assert_int_equal(answer.put, HONOUR_ATOMIC);
	assert_int_equal(probe_ask(&s, CALL_PATIENT, 4, 4, &answer, NULL), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_kept),
		cmocka_unit_test(no_record_is_kept_in_a_folder_of_other_things),
		cmocka_unit_test(answers_age),
		cmocka_unit_test(an_answer_that_others_may_have_laid_does_not_count),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(documented_stores_are_known),
		cmocka_unit_test(what_was_asked_is_known_afterwards),
		cmocka_unit_test(a_question_that_failed_is_not_kept),
		cmocka_unit_test(without_a_cache_it_is_asked_each_time),
		cmocka_unit_test(a_kind_without_a_probe_needs_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
