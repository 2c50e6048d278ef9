#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fs/options.h"

#define ARGV(...) ((char **)(const char *[]){"larderfs", __VA_ARGS__, NULL})

static int parse(struct fs_options *o, char **argv, struct error *e)
{
	int argc = 0;
	while (argv[argc])
		argc++;
	fs_options_init(o);
	return fs_options_parse(o, argc, argv, e);
}

static void words_expand(char **argv, const char *const *expected)
{
	CLEANUP(mount_words_finish) struct mount_words w = {0};
	int argc = 0;
	while (argv[argc])
		argc++;
	assert_int_equal(mount_words_expand(argc, argv, &w, NULL), 0);
	int i = 0;
	for (; expected[i]; i++) {
		assert_true(i < w.argc);
		assert_string_equal(w.argv[i], expected[i]);
	}
	assert_int_equal(w.argc, i);
	assert_null(w.argv[i]);
}

static void mount_options_become_long_ones(void **state)
{
	words_expand(ARGV("STORE", "MNT", "-o", "rw,key=a/b,allow_other,timeout=5s"),
		(const char *[]){"larderfs", "STORE", "MNT", "--key=a/b", "--allow-other",
			"--timeout=5s", NULL});
	words_expand(ARGV("-okey=k", "S", "M"),
		(const char *[]){"larderfs", "--key=k", "S", "M", NULL});
	words_expand(ARGV("-o", "fallback-key=a,fallback_key=b_c"),
		(const char *[]){
			"larderfs", "--fallback-key=a", "--fallback-key=b_c", NULL});
}

static void a_backslash_keeps_a_comma(void **state)
{
	words_expand(ARGV("-o", "key=a\\,b,,quiet,"),
		(const char *[]){"larderfs", "--key=a,b", "--quiet", NULL});
}

static void what_mount_says_for_itself_is_passed_over(void **state)
{
	words_expand(ARGV("-o",
			     "rw,dev,suid,ro,nosuid,nodev,exec,auto,user,users,_netdev,nofail,"
			     "noatime,nostrictatime,defaults,x-systemd.automount,X-mount.mkdir=755,"
			     "comment=z,default_permissions"),
		(const char *[]){"larderfs", NULL});
}

static void noexec_is_kept(void **state)
{
	CLEANUP(mount_words_finish) struct mount_words w = {0};
	assert_int_equal(mount_words_expand(3, ARGV("-o", "noexec"), &w, NULL), 0);
	assert_true(w.no_exec);
	assert_false(w.no_sym_follow);
	assert_int_equal(w.argc, 1);
}

static void nosymfollow_is_kept(void **state)
{
	CLEANUP(mount_words_finish) struct mount_words w = {0};
	assert_int_equal(mount_words_expand(3, ARGV("-o", "nosymfollow"), &w, NULL), 0);
	assert_true(w.no_sym_follow);
	assert_false(w.no_exec);
	assert_int_equal(w.argc, 1);
}

static void behind_two_dashes_nothing_is_an_option(void **state)
{
	words_expand(ARGV("--", "-o", "key=x"),
		(const char *[]){"larderfs", "--", "-o", "key=x", NULL});
}

static void unknown_mount_options_are_named(void **state)
{
	struct mount_words w;
	struct error e = {0};
	assert_int_equal(mount_words_expand(3, ARGV("-o", "key=k,nonsense=1"), &w, &e), -EINVAL);
	assert_non_null(strstr(e.text, "'nonsense'"));
	assert_int_equal(mount_words_expand(2, ARGV("-o"), &w, &e), -EINVAL);
	/* an option of larder's, but not of mount's */
	assert_int_equal(mount_words_expand(3, ARGV("-o", "force"), &w, &e), -EINVAL);
}

static void store_and_mountpoint_are_found(void **state)
{
	CLEANUP(fs_options_finish) struct fs_options o;
	assert_int_equal(parse(&o, ARGV("--key", "k", "file:///s", "/mnt"), NULL), 0);
	assert_string_equal(o.store, "file:///s");
	assert_string_equal(o.mountpoint, "/mnt");
	assert_string_equal(o.key, "k");
	assert_int_equal(o.uid, getuid());
	assert_int_equal(o.gid, getgid());
}

static void the_store_may_be_left_out(void **state)
{
	setenv("LARDER_STORE", "s3://bucket/from-environment", 1);
	CLEANUP(fs_options_finish) struct fs_options o;
	assert_int_equal(parse(&o, ARGV("/mnt"), NULL), 0);
	assert_string_equal(o.store, "s3://bucket/from-environment");
	assert_string_equal(o.mountpoint, "/mnt");
	assert_null(o.key);
	unsetenv("LARDER_STORE");
}

static void the_environment_names_the_key(void **state)
{
	setenv("LARDER_KEY", "env-key", 1);
	CLEANUP(fs_options_finish) struct fs_options o;
	assert_int_equal(parse(&o, ARGV("/s", "/m", "-o", "fallback-key=env-"), NULL), 0);
	assert_string_equal(o.key, "env-key");
	assert_int_equal(o.said.fallback_keys.len, 1);
	unsetenv("LARDER_KEY");
}

static void owners_are_numbers_or_names(void **state)
{
	CLEANUP(fs_options_finish) struct fs_options o;
	assert_int_equal(parse(&o, ARGV("--uid", "4242", "--gid=root", "/s", "/m"), NULL), 0);
	assert_int_equal(o.uid, 4242);
	assert_int_equal(o.gid, 0);
}

static void wrong_words_are_refused(void **state)
{
	static const char *const bad[][6] = {
		{"larderfs", NULL},
		{"larderfs", "/s", "/m", "/more", NULL},
		{"larderfs", "--prefetch=some", "/s", "/m", NULL},
		{"larderfs", "--uid", "no such user", "/s", "/m", NULL},
		{"larderfs", "--gid", "no such group", "/s", "/m", NULL},
		{"larderfs", "--uid", "4294967295", "/s", "/m", NULL},
		{"larderfs", "--key", "../up", "/s", "/m", NULL},
		{"larderfs", "--fallback-key", "p", "/s", "/m", NULL},
		{"larderfs", "--no-such", "/s", "/m", NULL},
		{"larderfs", "--timeout=soon", "/s", "/m", NULL},
		{"larderfs", "-o", "timeout=", "/s", "/m", NULL},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(fs_options_finish) struct fs_options o;
		struct error e = {0};
		assert_int_equal(parse(&o, (char **)bad[i], &e), -EINVAL);
		assert_true(e.text[0]);
	}
}

static void help_and_version_want_nothing_else(void **state)
{
	CLEANUP(fs_options_finish) struct fs_options o, v;
	assert_int_equal(parse(&o, ARGV("--help"), NULL), 0);
	assert_true(o.said.help);
	assert_int_equal(parse(&v, ARGV("--version"), NULL), 0);
	assert_true(v.version);
}

int main(void)
{
	unsetenv("LARDER_KEY");
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_options_become_long_ones),
		cmocka_unit_test(a_backslash_keeps_a_comma),
		cmocka_unit_test(what_mount_says_for_itself_is_passed_over),
		cmocka_unit_test(noexec_is_kept),
		cmocka_unit_test(nosymfollow_is_kept),
		cmocka_unit_test(behind_two_dashes_nothing_is_an_option),
		cmocka_unit_test(unknown_mount_options_are_named),
		cmocka_unit_test(store_and_mountpoint_are_found),
		cmocka_unit_test(the_store_may_be_left_out),
		cmocka_unit_test(the_environment_names_the_key),
		cmocka_unit_test(owners_are_numbers_or_names),
		cmocka_unit_test(wrong_words_are_refused),
		cmocka_unit_test(help_and_version_want_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
