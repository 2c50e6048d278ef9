#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/profile.h"

/* A home of our own, and a file of each kind below it. */
static char home[] = "/tmp/test_profile_XXXXXX";

static const char *below_home(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", home, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	CLEANUP(cleanup_close)
	int fd = open(below_home(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write_fully(fd, text, strlen(text)), 0);
}

static int make_home(void **state)
{
	assert_non_null(mkdtemp(home));
	return mkdir(below_home(".aws"), 0700);
}

static int remove_home(void **state)
{
	unlink(below_home(".aws/credentials"));
	unlink(below_home(".aws/config"));
	unlink(below_home("named"));
	return rmdir(below_home(".aws")) | rmdir(home);
}

static int begin(void **state)
{
	static const char *const variables[] = {"AWS_CONFIG_FILE",
		"AWS_SHARED_CREDENTIALS_FILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	setenv("HOME", home, 1);
	write_file(".aws/credentials", "");
	write_file(".aws/config", "");
	return 0;
}

struct loaded {
	struct profile_paths paths;
	struct profile_files files;
};

static void load(struct loaded *l)
{
	struct error e = {0};
	assert_int_equal(profile_paths_find(&l->paths), 0);
	int r = profile_files_load(&l->paths, &l->files, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
}

static void unload(struct loaded *l)
{
	profile_files_finish(&l->files);
	profile_paths_finish(&l->paths);
}

static void assert_property(const struct loaded *l, const char *profile, const char *key,
	const char *subkey, const char *expected)
{
	const char *value = profile_get(&l->files, profile, key, subkey);
	if (!expected) {
		assert_null(value);
		return;
	}
	assert_non_null(value);
	assert_string_equal(value, expected);
}

static void both_files_are_read_as_one(void **state)
{
	write_file(".aws/credentials", "[default]\naws_access_key_id=D\n"
				       "[ci]\naws_access_key_id=C\nboth=credentials\n");
	write_file(".aws/config",
		"[default]\nregion=d\n[profile ci]\nregion=c\nboth=config\n"
		"[lost]\nregion=l\n[profile only]\nregion=o\n");
	CLEANUP(unload) struct loaded l;
	load(&l);
	assert_property(&l, "default", "aws_access_key_id", NULL, "D");
	assert_property(&l, "default", "region", NULL, "d");
	assert_property(&l, "ci", "aws_access_key_id", NULL, "C");
	assert_property(&l, "ci", "region", NULL, "c");
	assert_property(&l, "ci", "both", NULL, "credentials");
	assert_property(&l, "lost", "region", NULL, NULL);
	assert_true(profile_exists(&l.files, "default"));
	assert_true(profile_exists(&l.files, "ci"));
	assert_true(profile_exists(&l.files, "only"));
	assert_false(profile_exists(&l.files, "lost"));
	assert_false(profile_exists(&l.files, "profile ci"));
	assert_string_equal(profile_file_of(&l.files, "ci", "both"), l.paths.credentials);
	assert_string_equal(profile_file_of(&l.files, "ci", "region"), l.paths.config);
}

static void the_prefixed_default_comes_first(void **state)
{
	write_file(".aws/config",
		"[profile "
		"default]\nregion=prefixed\n[default]\nregion=plain\noutput=x\n");
	CLEANUP(unload) struct loaded l;
	load(&l);
	assert_property(&l, "default", "region", NULL, "prefixed");
	assert_property(&l, "default", "output", NULL, "x");
}

static void files_that_are_not_there_are_empty(void **state)
{
	unlink(below_home(".aws/credentials"));
	unlink(below_home(".aws/config"));
	setenv("AWS_CONFIG_FILE", below_home("named"), 1);
	CLEANUP(unload) struct loaded l;
	load(&l);
	assert_false(profile_exists(&l.files, "default"));
	assert_true(l.paths.config_named);
	assert_false(l.paths.credentials_named);
}

static void variables_name_the_files(void **state)
{
	write_file("named", "[default]\nregion=n\n");
	setenv("AWS_CONFIG_FILE", "~/named", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "", 1);
	CLEANUP(unload) struct loaded l;
	load(&l);
	assert_property(&l, "default", "region", NULL, "n");
	assert_string_equal(l.paths.config, below_home("named"));
	assert_string_equal(l.paths.credentials, below_home(".aws/credentials"));
}

static void relative_paths_are_placed(void **state)
{
	CLEANUP(settings_finish) struct settings s;
	CLEANUP(profile_facts_finish) struct profile_facts facts = {.path_style = -1};
	CLEANUP(unload) struct loaded l = {0};
	CLEANUP(cleanup_free) char *placed = NULL, *absolute = NULL;
	settings_init(&s);
	write_file("named", "[default]\nca_bundle = ca.pem\n");
	setenv("AWS_CONFIG_FILE", "named", 1);
	assert_int_equal(chdir(home), 0);
	load(&l);
	int r = profile_facts_load(&s, &facts, NULL);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(r, 0);
	assert_string_equal(facts.ca_bundle, below_home("ca.pem"));
	assert_string_equal(l.paths.config, below_home("named"));
	assert_int_equal(profile_paths_place(&l.paths, "a/b", &placed), 0);
	assert_string_equal(placed, below_home("a/b"));
	assert_int_equal(profile_paths_place(&l.paths, "/a/b", &absolute), 0);
	assert_string_equal(absolute, "/a/b");
}

static void from_a_directory_that_is_gone_absolute_paths_do(void **state)
{
	CLEANUP(unload) struct loaded l = {0};
	CLEANUP(cleanup_free) char *placed = NULL;
	setenv("AWS_CONFIG_FILE", below_home("named"), 1);
	assert_int_equal(mkdir(below_home("gone"), 0700), 0);
	assert_int_equal(chdir(below_home("gone")), 0);
	assert_int_equal(rmdir(below_home("gone")), 0);
	load(&l);
	assert_int_equal(chdir("/"), 0);
	assert_null(l.paths.directory);
	assert_string_equal(l.paths.config, below_home("named"));
	assert_int_equal(profile_paths_place(&l.paths, "a/b", &placed), 0);
	assert_string_equal(placed, "a/b");
}

static void a_broken_file_is_an_error(void **state)
{
	CLEANUP(profile_paths_finish) struct profile_paths paths;
	struct profile_files files;
	struct error e = {0};
	write_file(".aws/config", "[default]\nregion\n");
	assert_int_equal(profile_paths_find(&paths), 0);
	assert_int_equal(profile_files_load(&paths, &files, &e), -EINVAL);
	assert_non_null(strstr(e.text, "line 2 "));
	assert_non_null(strstr(e.text, "/.aws/config'"));
}

static void a_named_file_must_be_readable(void **state)
{
	setenv("AWS_CONFIG_FILE", home, 1); /* a directory */
	CLEANUP(profile_paths_finish) struct profile_paths paths;
	struct profile_files files;
	struct error e = {0};
	assert_int_equal(profile_paths_find(&paths), 0);
	assert_int_equal(profile_files_load(&paths, &files, &e), -EINVAL);
	assert_non_null(strstr(e.text, home));
}

static void changes_are_noticed(void **state)
{
	CLEANUP(unload) struct loaded l;
	load(&l);
	struct profile_stamp now = profile_stamp_of(&l.paths);
	assert_true(profile_stamp_equal(&l.files.stamp, &now));
	write_file(".aws/credentials", "[a]\nb=c\n");
	now = profile_stamp_of(&l.paths);
	assert_false(profile_stamp_equal(&l.files.stamp, &now));
	unlink(below_home(".aws/credentials"));
	now = profile_stamp_of(&l.paths);
	assert_false(profile_stamp_equal(&l.files.stamp, &now));
}

static void assert_endpoint(
	const char *profile, const char *service, const char *expected)
{
	CLEANUP(unload) struct loaded l;
	CLEANUP(cleanup_free) char *url = NULL;
	load(&l);
	assert_int_equal(profile_endpoint(&l.files, profile, service, &url, NULL), 0);
	if (!expected)
		assert_null(url);
	else
		assert_string_equal(url, expected);
}

static void endpoints_come_from_the_nearest_place(void **state)
{
	write_file(".aws/config",
		"[default]\nendpoint_url = http://general\n"
		"[profile block]\nendpoint_url = http://general\n"
		"s3 =\n  endpoint_url = http://block:9000/\n"
		"[profile services]\nservices = mine\n"
		"s3 =\n  endpoint_url = http://block\n"
		"[services mine]\ns3 =\n  endpoint_url = http://services\n"
		"[profile off]\nignore_configured_endpoint_urls = true\n"
		"endpoint_url = http://general\n"
		"[profile none]\nregion = r\n");
	assert_endpoint("default", "s3", "http://general");
	assert_endpoint("block", "s3", "http://block:9000");
	assert_endpoint("block", "sts", "http://general");
	assert_endpoint("services", "s3", "http://services");
	assert_endpoint("services", "sts", NULL);
	assert_endpoint("off", "s3", NULL);
	assert_endpoint("none", "s3", NULL);
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE", 1);
	assert_endpoint("default", "s3", NULL);
}

static void a_store_learns_the_facts(void **state)
{
	CLEANUP(settings_finish) struct settings s;
	CLEANUP(profile_facts_finish) struct profile_facts f;
	write_file(".aws/config", "[profile ci]\nregion = r-1\nca_bundle = /ca\ns3 =\n"
				  "  addressing_style = Path\n"
				  "  endpoint_url = https://s3.example\n"
				  "[default]\ns3 =\n  addressing_style = virtual\n");
	settings_init(&s);
	assert_int_equal(profile_facts_load(&s, &f, NULL), 0);
	assert_null(f.region);
	assert_null(f.endpoint_url);
	assert_int_equal(f.path_style, 0);
	assert_int_equal(settings_set(&s, "profile", "ci", NULL), 0);
	profile_facts_finish(&f);
	assert_int_equal(profile_facts_load(&s, &f, NULL), 0);
	assert_string_equal(f.region, "r-1");
	assert_string_equal(f.endpoint_url, "https://s3.example");
	assert_string_equal(f.ca_bundle, "/ca");
	assert_int_equal(f.path_style, 1);
	assert_int_equal(settings_set(&s, "profile", "absent", NULL), 0);
	profile_facts_finish(&f);
	assert_int_equal(profile_facts_load(&s, &f, NULL), 0);
	assert_null(f.region);
	assert_int_equal(f.path_style, -1);
}

static void wrong_facts_are_named(void **state)
{
	static const char *const files[] = {"[default]\nregion = a.b/c\n",
		"[default]\nendpoint_url = host\n",
		"[default]\ns3 =\n  addressing_style = best\n"};
	CLEANUP(settings_finish) struct settings s;
	settings_init(&s);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct profile_facts f;
		struct error e = {0};
		write_file(".aws/config", files[i]);
		assert_int_equal(profile_facts_load(&s, &f, &e), -EINVAL);
		assert_non_null(strstr(e.text, "profile 'default'"));
	}
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(both_files_are_read_as_one),
		TEST(the_prefixed_default_comes_first),
		TEST(files_that_are_not_there_are_empty),
		TEST(variables_name_the_files),
		TEST(relative_paths_are_placed),
		TEST(from_a_directory_that_is_gone_absolute_paths_do),
		TEST(a_broken_file_is_an_error),
		TEST(a_named_file_must_be_readable),
		TEST(changes_are_noticed),
		TEST(endpoints_come_from_the_nearest_place),
		TEST(a_store_learns_the_facts),
		TEST(wrong_facts_are_named),
	};
	return cmocka_run_group_tests(tests, make_home, remove_home);
}
