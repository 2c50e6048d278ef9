/*
 * The sources of credentials that lie on this machine, through creds_get().
 */
#include "tests/unit/test.h"

#include "tests/unit/creds_case.h"

/* --- environment ------------------------------------------------------------------- */

static void keys_stand_in_the_environment(void **state)
{
	setenv("AWS_ACCESS_KEY_ID", "AKIA", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "sesame", 1);
	assert_credentials("AKIA", "sesame", "", "the environment");
	setenv("AWS_SESSION_TOKEN", "T", 1);
	assert_credentials("AKIA", "sesame", "T", "the environment");
}

static void half_an_environment_is_an_error(void **state)
{
	aws_write(".aws/credentials",
		"[default]\naws_access_key_id=P\naws_secret_access_key=S\n");
	setenv("AWS_SECRET_ACCESS_KEY", "sesame", 1);
	assert_failure(-EKEYREJECTED, "'AWS_ACCESS_KEY_ID' is not");
	setenv("AWS_ACCESS_KEY_ID", "AKIA", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "", 1);
	assert_failure(-EKEYREJECTED, "'AWS_SECRET_ACCESS_KEY' is not");
	setenv("AWS_SECRET_ACCESS_KEY", "sesame with blanks", 1);
	assert_failure(-EKEYREJECTED, "blank");
}

static void nothing_says_where_was_looked(void **state)
{
	static const char *const words[] = {"AWS_ACCESS_KEY_ID",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "profile 'default'", "/.aws/credentials'",
		"container", "AWS_EC2_METADATA_DISABLED"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_failure(-EKEYREJECTED, words[i]);
}

/* --- profiles ---------------------------------------------------------------------- */

static void keys_stand_in_a_profile(void **state)
{
	aws_write(".aws/credentials",
		"[default]\naws_access_key_id=D\naws_secret_access_key=SD\n"
		"[ci]\naws_access_key_id=C\naws_secret_access_key=SC\naws_session_token="
		"TC\n");
	aws_write(".aws/config",
		"[profile conf]\naws_access_key_id=F\naws_secret_access_key=SF\n");
	assert_credentials("D", "SD", "", "profile 'default' in '");
	set_option("profile", "ci");
	assert_credentials("C", "SC", "TC", "/.aws/credentials'");
	set_option("profile", "conf");
	assert_credentials("F", "SF", "", "/.aws/config'");
}

static void the_environment_comes_before_a_profile_of_the_environment(void **state)
{
	aws_write(".aws/credentials",
		"[ci]\naws_access_key_id=C\naws_secret_access_key=SC\n");
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "SE", 1);
	setenv("AWS_PROFILE", "ci", 1);
	assert_int_equal(settings_from_environment(&settings, NULL), 0);
	assert_credentials("E", "SE", "", "the environment");
	set_option("profile", "ci");
	assert_credentials("C", "SC", "", "profile 'ci'");
}

static void a_profile_that_is_named_must_exist(void **state)
{
	aws_write(".aws/credentials",
		"[default]\naws_access_key_id=D\naws_secret_access_key=SD\n");
	set_option("profile", "typo");
	assert_failure(-EKEYREJECTED, "profile 'typo' is neither in");
}

static void relative_files_lie_where_we_were_started(void **state)
{
	aws_write("file", "[default]\naws_access_key_id=D\naws_secret_access_key=SD\n");
	setenv("AWS_SHARED_CREDENTIALS_FILE", "file", 1);
	assert_key_elsewhere("D");
	unsetenv("AWS_SHARED_CREDENTIALS_FILE");
	aws_write("file", "[profile x]\naws_access_key_id=X\naws_secret_access_key=S\n");
	setenv("AWS_CONFIG_FILE", "file", 1);
	set_option("profile", "x");
	assert_key_elsewhere("X");
}

static void half_a_profile_is_an_error(void **state)
{
	aws_write(".aws/credentials", "[default]\naws_secret_access_key=sesame\n");
	assert_failure(-EKEYREJECTED, "'aws_secret_access_key' without");
	aws_write(".aws/credentials",
		"[default]\naws_access_key_id=D\naws_secret_access_key=sesame sesame\n");
	assert_failure(-EKEYREJECTED, "blank");
}

static void broken_files_are_named(void **state)
{
	struct creds *c;
	struct error e = {0};
	aws_write(".aws/config", "[default\nx=sesame\n");
	assert_failure(-EKEYREJECTED, "line 1 of '");
	setenv("AWS_CONFIG_FILE", aws_path(".aws/config"), 1);
	assert_int_equal(creds_new(&settings, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "line 1 of '"));
}

static void sso_and_mfa_are_not_supported(void **state)
{
	aws_write(".aws/config",
		"[default]\nsso_session = s\n[profile old]\nsso_start_url = https://x\n"
		"[profile mfa]\nrole_arn = " ROLE "\nsource_profile = mfa\n"
		"mfa_serial = m\n");
	assert_failure(-EKEYREJECTED, "SSO");
	set_option("profile", "old");
	assert_failure(-EKEYREJECTED, "SSO");
	set_option("profile", "mfa");
	assert_failure(-EKEYREJECTED, "mfa_serial");
}

/* --- credential_process ------------------------------------------------------------ */

static void a_process_prints_credentials(void **state)
{
	aws_write(".aws/config",
		"[default]\ncredential_process = printf "
		"'{\"Version\":1,\"AccessKeyId\":\"P\","
		"\"SecretAccessKey\":\"SP\",\"SessionToken\":\"TP\"}'\n");
	assert_credentials("P", "SP", "TP", "credential_process of profile 'default'");
}

static void a_process_runs_where_we_were_started(void **state)
{
	aws_write(".aws/config", "[default]\ncredential_process = cat file\n");
	aws_write("file", "{\"Version\":1,\"AccessKeyId\":\"P\","
			  "\"SecretAccessKey\":\"SP\"}");
	assert_key_elsewhere("P");
}

static void a_process_that_fails_is_an_error(void **state)
{
	static const char *const lines[] = {"false", "echo sesame", "kill $$",
		"echo "
		"'{\"Version\":2,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"sesame\"}'",
		"echo '{\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"sesame\"}'",
		"echo '{\"Version\":1,\"AccessKeyId\":\"P\"}'",
		"echo '{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"S\"}'; "
		"exit 1",
		"yes sesame"};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[512];
		snprintf(text, sizeof(text), "[default]\ncredential_process = %s\n",
			lines[i]);
		aws_write(".aws/config", text);
		assert_failure(-EKEYREJECTED, "credential_process");
	}
}

static void a_process_that_hangs_meets_the_deadline(void **state)
{
	struct call call = {.deadline_ns = clock_monotonic_ns() + 60 * NS_PER_MS};
	struct credentials c;
	struct error e = {0};
	aws_write(".aws/config", "[default]\ncredential_process = tail -f /dev/null\n");
	assert_int_equal(get_once(&call, &c, NULL, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "credential_process"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(keys_stand_in_the_environment),
		TEST(half_an_environment_is_an_error),
		TEST(nothing_says_where_was_looked),
		TEST(keys_stand_in_a_profile),
		TEST(the_environment_comes_before_a_profile_of_the_environment),
		TEST(a_profile_that_is_named_must_exist),
		TEST(relative_files_lie_where_we_were_started),
		TEST(half_a_profile_is_an_error),
		TEST(broken_files_are_named),
		TEST(sso_and_mfa_are_not_supported),
		TEST(a_process_prints_credentials),
		TEST(a_process_runs_where_we_were_started),
		TEST(a_process_that_fails_is_an_error),
		TEST(a_process_that_hangs_meets_the_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
