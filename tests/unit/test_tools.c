#include "tests/unit/test.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/base/call.h"
#include "fetch/base/cleanup.h"
#include "fetch/base/exit_code.h"
#include "fetch/base/io.h"
#include "fetch/base/json_out.h"
#include "fetch/base/mounts.h"
#include "fetch/base/output_file.h"
#include "fetch/options.h"
#include "tools/human.h"
#include "tools/remove_tree.h"
#include "fetch/base/ticker.h"

/* --- exit codes --------------------------------------------------------------------- */

static void errors_become_the_contracts_exit_codes(void **state)
{
	static const int pairs[][2] = {{0, 0}, {-EIO, 1}, {-ENOSPC, 1}, {-EINVAL, 2},
		{-ENOENT, 3}, {-EBADMSG, 4}, {-EBUSY, 4}, {-EKEYREJECTED, 5},
		{-EOPNOTSUPP, 6}, {-EEXIST, 7}, {-ETIMEDOUT, 124}, {-ECANCELED, 130}};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_int_equal(exit_code_of(pairs[i][0], 2), pairs[i][1]);
}

static void only_some_codes_are_soft(void **state)
{
	static const int soft[] = {1, 4, 5, 124}, hard[] = {0, 2, 3, 6, 7, 130, 143};
	for (size_t i = 0; i < sizeof(soft) / sizeof(soft[0]); i++)
		assert_true(exit_code_is_soft(soft[i]));
	for (size_t i = 0; i < sizeof(hard) / sizeof(hard[0]); i++)
		assert_false(exit_code_is_soft(hard[i]));
}

/* --- options ------------------------------------------------------------------------ */

static int parse(struct options *o, unsigned command, struct error *e, int argc, ...)
{
	char *argv[16] = {(char *)"test"};
	va_list ap;
	va_start(ap, argc);
	for (int i = 1; i <= argc; i++)
		argv[i] = va_arg(ap, char *);
	va_end(ap);
	options_init(o);
	return options_parse(o, command, argc + 1, argv, e);
}

static void options_and_arguments_may_mix(void **state)
{
	CLEANUP(options_finish) struct options o;
	struct error e = {0};
	assert_int_equal(parse(&o, COMMAND_COMMIT, &e, 9, "store/", "-k", "a",
				 "--exclude=x", "dir", "--exclude", "y", "--level", "19"),
		0);
	assert_string_equal(o.key, "a");
	assert_int_equal(o.level, 19);
	assert_int_equal(o.arguments.len, 2);
	assert_string_equal(o.arguments.data[0], "store/");
	assert_string_equal(o.arguments.data[1], "dir");
	assert_int_equal(o.exclude.len, 2);
	assert_string_equal(o.exclude.data[1], "y");
}

static void settings_are_options_too(void **state)
{
	CLEANUP(options_finish) struct options o;
	assert_int_equal(
		parse(&o, COMMAND_MOUNT, NULL, 4, "--timeout", "2m", "--path-style", "m"),
		0);
	assert_true(o.settings.timeout_ns == 120 * NS_PER_SECOND);
	assert_true(o.settings.path_style);
	assert_int_equal(o.setting_words.len, 4);
	assert_string_equal(o.setting_words.data[0], "timeout");
	assert_string_equal(o.setting_words.data[1], "2m");
	assert_null(o.setting_words.data[3]);
}

static void a_double_dash_ends_the_options(void **state)
{
	CLEANUP(options_finish) struct options o;
	assert_int_equal(parse(&o, COMMAND_UMOUNT, NULL, 2, "--", "--json"), 0);
	assert_int_equal(o.arguments.len, 1);
	assert_false(o.json);
}

static void refuses(
	unsigned command, const char *word, int argc, const char *a, const char *b)
{
	CLEANUP(options_finish) struct options o;
	struct error e = {0};
	assert_int_equal(parse(&o, command, &e, argc, a, b), -EINVAL);
	assert_non_null(strstr(e.text, word));
}

static void wrong_options_are_named(void **state)
{
	refuses(COMMAND_LS, "'--nope'", 1, "--nope", NULL);
	refuses(COMMAND_LS, "'-x'", 1, "-x", NULL);
	refuses(COMMAND_LS, "'--force'", 1, "--force", NULL);        /* commit's */
	refuses(COMMAND_STATUS, "'--timeout'", 2, "--timeout", "1"); /* no store there */
	refuses(COMMAND_LS, "'--key'", 1, "--key", NULL);
	refuses(COMMAND_LS, "'-k'", 1, "-k", NULL);
	refuses(COMMAND_LS, "'--json=1'", 1, "--json=1", NULL);
	refuses(COMMAND_LS, "--key", 1, "--key=", NULL);
	refuses(COMMAND_COMMIT, "--exclude", 1, "--exclude=", NULL);
	refuses(COMMAND_COMMIT, "'20'", 2, "--level", "20");
	refuses(COMMAND_COMMIT, "'0'", 2, "--level", "0");
	refuses(COMMAND_LS, "'soon'", 2, "--timeout", "soon");
}

static void the_environment_fills_what_was_not_said(void **state)
{
	setenv("LARDER_KEY", "from-environment", 1);
	CLEANUP(options_finish) struct options o, said;
	assert_int_equal(parse(&o, COMMAND_EXISTS, NULL, 0), 0);
	assert_string_equal(o.key, "from-environment");
	assert_int_equal(parse(&said, COMMAND_EXISTS, NULL, 2, "--key", "said"), 0);
	assert_string_equal(said.key, "said");
	unsetenv("LARDER_KEY");
}

/* --- mountinfo ---------------------------------------------------------------------- */

static const char mountinfo[] =
	"22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw\n"
	"90 28 0:44 / /mnt/a\\040b ro - fuse.larderfs s3://bucket ro,user_id=1234,group_id=5\n"
	"91 28 0:45 / /mnt/c ro shared:5 master:3 - fuse.larderfs x ro\n"
	"92 91 0:46 / /mnt/c rw - overlay overlay rw\n";

static void mountinfo_tells_the_topmost_mount(void **state)
{
	struct mount_facts facts;
	mount_facts_parse(mountinfo, "/mnt/a b", &facts);
	assert_true(facts.mounted);
	assert_string_equal(facts.type, "fuse.larderfs");
	assert_int_equal(facts.user, 1234);
	assert_string_equal(facts.source, "s3://bucket");
	mount_facts_parse(mountinfo, "/mnt/c", &facts);
	assert_string_equal(facts.type, "overlay");
	assert_int_equal(facts.user, -1);
	mount_facts_parse(mountinfo, "/mnt", &facts);
	assert_false(facts.mounted);
	mount_facts_parse("garbage\n\n1 2 3", "/mnt", &facts);
	assert_false(facts.mounted);
	char place[PATH_MAX];
	assert_int_equal(mount_place_parse(mountinfo, "0:44", place), 0);
	assert_string_equal(place, "/mnt/a b");
	assert_int_equal(mount_place_parse(mountinfo, "9:99", place), -ENOENT);
	assert_true(mounts_have(mountinfo, "0:45", "fuse.larderfs"));
	assert_false(mounts_have(mountinfo, "0:45", "overlay"));
	assert_false(mounts_have(mountinfo, "0:4", "fuse.larderfs"));
	assert_false(mounts_have("garbage\n\n1 2 3", "2", "3"));
}

struct links {
	char top[64];
};

static void links_make(struct links *l)
{
	static const char *const names[][2] = {{"link", "."}, {"point", "link/mnt/"},
		{"far", "point"}, {"round", "again"}, {"again", "round"}, {"up", "link/.."}};
	char path[PATH_MAX];
	strcpy(l->top, "/tmp/larder-test-XXXXXX");
	assert_non_null(mkdtemp(l->top));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", l->top, names[i][0]);
		assert_int_equal(symlink(names[i][1], path), 0);
	}
	snprintf(path, sizeof(path), "%s/away", l->top);
	assert_int_equal(symlink("/nowhere", path), 0);
}

static void resolves(const struct links *l, const char *path, const char *want)
{
	char given[PATH_MAX], got[PATH_MAX];
	snprintf(given, sizeof(given), "%s/%s", l->top, path);
	assert_int_equal(mountpoint_resolve(given, got, NULL), 0);
	assert_string_equal(got, want);
}

static void does_not_resolve(const struct links *l, const char *path, int why)
{
	char given[PATH_MAX], got[PATH_MAX];
	struct error e = {0};
	snprintf(given, sizeof(given), "%s/%s", l->top, path);
	assert_int_equal(mountpoint_resolve(given, got, &e), why);
	assert_non_null(strstr(e.text, given));
}

static void a_mountpoint_resolves_that_need_not_be_there(void **state)
{
	struct links l;
	char want[PATH_MAX];
	links_make(&l);
	snprintf(want, sizeof(want), "%s/mnt", l.top);
	resolves(&l, "mnt", want);
	resolves(&l, "link/mnt//", want);
	resolves(&l, "point", want);
	resolves(&l, "link/far/", want);
	resolves(&l, "up", "/tmp");
	resolves(&l, "away", "/nowhere");
	does_not_resolve(&l, "absent/mnt", -ENOENT);
	does_not_resolve(&l, "round", -ELOOP);
	assert_int_equal(mountpoint_resolve("/", want, NULL), 0);
	assert_string_equal(want, "/");
	assert_int_equal(mountpoint_resolve("", want, NULL), -EINVAL);
	assert_int_equal(remove_tree(l.top), 0);
}

/* --- words for people and machines ---------------------------------------------------
 */

static void sizes_and_times_are_short(void **state)
{
	char text[HUMAN_SIZE];
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"},
		{10 * 1024, "10 KiB"}, {UINT64_C(118) << 20, "118 MiB"},
		{UINT64_MAX, "16 EiB"}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		human_bytes(sizes[i].bytes, text);
		assert_string_equal(text, sizes[i].text);
	}
	human_age(0, text);
	assert_string_equal(text, "now");
	human_age(3 * 3600 + 5, text);
	assert_string_equal(text, "3 h");
	human_age(INT64_MAX, text);
	human_duration(350 * NS_PER_MS, text);
	assert_string_equal(text, "0.35 s");
	human_duration(200 * NS_PER_SECOND, text);
	assert_string_equal(text, "3 min 20 s");
}

static void json_strings_are_always_valid(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_string(out, "a\"\\\n\x01\xc3\xa4\xff\xed\xa0\x80z");
	fclose(out);
	assert_string_equal(text,
		"\"a\\\"\\\\\\u000a\\u0001\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		"\xef\xbf\xbdz\"");
	free(text);
}

static void output_lines_cannot_be_forged(void **state)
{
	char path[] = "/tmp/larder-test-XXXXXX";
	int fd = mkstemp(path);
	close(fd);
	const struct output_facts facts = {
		.hit = true, .key = "a\ncache-hit=x", .size = 7};
	assert_int_equal(output_append(path, &facts, NULL), 0);
	assert_int_equal(output_append(path, &(struct output_facts){0}, NULL), 0);
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	assert_int_equal(read_small_file(path, 1000, &text, &len), 0);
	assert_string_equal(text, "cache-hit=true\ncache-matched-key=a?cache-hit=x\nsize="
				  "7\ncache-hit=false\n");
	unlink(path);
}

/* --- a ticker ------------------------------------------------------------------------
 */

struct ticks {
	pthread_mutex_t lock;
	pthread_cond_t some;
	unsigned count; /* under lock */
};

static void note_tick(void *arg)
{
	struct ticks *t = arg;
	pthread_mutex_lock(&t->lock);
	t->count++;
	pthread_cond_signal(&t->some);
	pthread_mutex_unlock(&t->lock);
}

static void a_ticker_ticks_until_it_is_stopped(void **state)
{
	struct ticks t = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
	struct ticker ticker = {0};
	ticker_stop(&ticker);
	ticker_start(&ticker, 1, note_tick, &t);
	pthread_mutex_lock(&t.lock);
	while (t.count < 3)
		pthread_cond_wait(&t.some, &t.lock);
	pthread_mutex_unlock(&t.lock);
	ticker_stop(&ticker);
	unsigned count = t.count;
	assert_true(count >= 3);
	ticker_stop(&ticker);
	assert_int_equal(t.count, count);
}

static void a_ticker_that_waits_is_stopped_at_once(void **state)
{
	struct ticks t = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
	struct ticker ticker;
	ticker_start(&ticker, 3600 * NS_PER_SECOND, note_tick, &t);
	ticker_stop(&ticker);
	assert_int_equal(t.count, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_become_the_contracts_exit_codes),
		cmocka_unit_test(only_some_codes_are_soft),
		cmocka_unit_test(options_and_arguments_may_mix),
		cmocka_unit_test(settings_are_options_too),
		cmocka_unit_test(a_double_dash_ends_the_options),
		cmocka_unit_test(wrong_options_are_named),
		cmocka_unit_test(the_environment_fills_what_was_not_said),
		cmocka_unit_test(mountinfo_tells_the_topmost_mount),
		cmocka_unit_test(a_mountpoint_resolves_that_need_not_be_there),
		cmocka_unit_test(sizes_and_times_are_short),
		cmocka_unit_test(json_strings_are_always_valid),
		cmocka_unit_test(output_lines_cannot_be_forged),
		cmocka_unit_test(a_ticker_ticks_until_it_is_stopped),
		cmocka_unit_test(a_ticker_that_waits_is_stopped_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
