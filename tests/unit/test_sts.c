#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/sts.h"
#include "tests/unit/aws_home.h"

#define ANSWER(action, inner)                                                            \
	"<" action                                                                       \
	"Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action          \
	"Result>" inner "</" action "Result></" action "Response>"

static int parse(const char *text, struct credentials *ret)
{
	return sts_parse_answer(text, strlen(text), ret);
}

static void credentials_are_read(void **state)
{
	static const char inner[] = "<AssumedRoleUser><AssumedRoleId>x</AssumedRoleId>"
				    "</AssumedRoleUser><Credentials>"
				    "<AccessKeyId>ASIA</AccessKeyId>\n"
				    "<SecretAccessKey> s/e+c </SecretAccessKey>"
				    "<SessionToken>\n  t&#61;=\n </SessionToken>"
				    "<Expiration>2024-05-06T07:08:09.123Z</Expiration>"
				    "</Credentials>";
	char text[1024];
	struct credentials c;
	snprintf(text, sizeof(text),
		"<AssumeRoleResponse><AssumeRoleResult>%s"
		"</AssumeRoleResult></AssumeRoleResponse>",
		inner);
	assert_int_equal(parse(text, &c), 0);
	assert_string_equal(c.access_key, "ASIA");
	assert_string_equal(c.secret_key, "s/e+c");
	assert_string_equal(c.session_token, "t==");
	assert_int_equal(c.expires_s, 1714979289);
	assert_int_equal(parse(ANSWER("AssumeRoleWithWebIdentity",
				       "<Credentials><AccessKeyId>A</"
				       "AccessKeyId><SecretAccessKey>S"
				       "</SecretAccessKey></Credentials>"),
				 &c),
		0);
	assert_string_equal(c.session_token, "");
	assert_true(c.expires_s == CREDS_NO_EXPIRY);
}

static void other_documents_are_refused(void **state)
{
	static const char *const texts[] = {"", "no xml", "<a/>", "<a>",
		ANSWER("AssumeRole", ""),
		ANSWER("AssumeRole", "<Credentials></Credentials>"),
		ANSWER("AssumeRole",
			"<Credentials><AccessKeyId>A</AccessKeyId></Credentials>"),
		ANSWER("AssumeRole", "<Other><AccessKeyId>A</AccessKeyId>"
				     "<SecretAccessKey>S</SecretAccessKey></Other>"),
		ANSWER("AssumeRole",
			"<Credentials><AccessKeyId>A b</AccessKeyId>"
			"<SecretAccessKey>S</SecretAccessKey></Credentials>"),
		ANSWER("AssumeRole", "<Credentials><AccessKeyId>A</AccessKeyId>"
				     "<SecretAccessKey>S</SecretAccessKey>"
				     "<Expiration>soon</Expiration></Credentials>"),
		"<!DOCTYPE a [<!ENTITY x \"A\">]>" ANSWER("AssumeRole",
			"<Credentials><AccessKeyId>&x;</AccessKeyId>"
			"<SecretAccessKey>S</SecretAccessKey></Credentials>")};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct credentials c = {.access_key = "kept"};
		assert_int_equal(parse(texts[i], &c), -EBADMSG);
		assert_string_equal(c.access_key, "kept");
	}
}

static void assert_code(const char *text, const char *expected)
{
	char code[STS_CODE_SIZE] = "old";
	sts_parse_error(text, strlen(text), code);
	assert_string_equal(code, expected);
}

static void errors_have_a_code(void **state)
{
	assert_code(
		"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
		"<Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>",
		"AccessDenied");
	assert_code("<Error><Code>Expired.Token1</Code></Error>", "Expired.Token1");
	assert_code("<Error><Code>not a code</Code></Error>", "");
	assert_code("<Error><Code>x\n[31m</Code></Error>", "");
	assert_code("<Other><Code>AccessDenied</Code></Other>", "");
	assert_code("<Error><Code>AccessDenied</Code>", "");
	assert_code("", "");
	assert_code(
		"<Error><Code>0123456789012345678901234567890123456789012345678901234567"
		"890123</Code></Error>",
		"");
}

/* What sts_endpoint_find() says of the settings and the world. */
static void assert_endpoint(
	const char *region, const char *origin, const char *signing_region)
{
	CLEANUP(settings_finish) struct settings s;
	CLEANUP(profile_paths_finish) struct profile_paths paths;
	CLEANUP(profile_files_finish) struct profile_files files;
	CLEANUP(sts_endpoint_finish) struct sts_endpoint endpoint = {0};
	settings_init(&s);
	if (region)
		assert_int_equal(settings_set(&s, "region", region, NULL), 0);
	assert_int_equal(profile_paths_find(&paths), 0);
	assert_int_equal(profile_files_load(&paths, &files, NULL), 0);
	assert_int_equal(sts_endpoint_find(&s, &files, "default", &endpoint, NULL), 0);
	assert_string_equal(endpoint.origin, origin);
	assert_string_equal(endpoint.region, signing_region);
}

static void the_endpoint_is_the_regions(void **state)
{
	assert_endpoint(NULL, "https://sts.amazonaws.com", "us-east-1");
	assert_endpoint("eu-west-1", "https://sts.eu-west-1.amazonaws.com", "eu-west-1");
	assert_endpoint(
		"cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn", "cn-north-1");
	aws_write(".aws/config", "[default]\nregion = eu-south-2\n");
	assert_endpoint(NULL, "https://sts.eu-south-2.amazonaws.com", "eu-south-2");
	assert_endpoint("eu-west-1", "https://sts.eu-west-1.amazonaws.com", "eu-west-1");
}

static void the_endpoint_can_be_said(void **state)
{
	aws_write(".aws/config", "[default]\nservices = s\n[services s]\nsts =\n"
				 "  endpoint_url = http://profile:1\n");
	assert_endpoint("r", "http://profile:1", "r");
	setenv("AWS_ENDPOINT_URL", "http://all/", 1);
	assert_endpoint("r", "http://all", "r");
	setenv("AWS_ENDPOINT_URL_STS", "http://sts:2", 1);
	assert_endpoint("r", "http://sts:2", "r");
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	assert_endpoint("r", "https://sts.r.amazonaws.com", "r");
}

static void a_wrong_endpoint_is_named(void **state)
{
	CLEANUP(settings_finish) struct settings s;
	struct profile_files files = {0};
	struct sts_endpoint endpoint;
	struct error e = {0};
	settings_init(&s);
	setenv("AWS_ENDPOINT_URL_STS", "sts:2", 1);
	assert_int_equal(
		sts_endpoint_find(&s, &files, "default", &endpoint, &e), -EINVAL);
	assert_non_null(strstr(e.text, "AWS_ENDPOINT_URL_STS"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, aws_home_make, aws_home_remove)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_are_read),
		cmocka_unit_test(other_documents_are_refused),
		cmocka_unit_test(errors_have_a_code),
		TEST(the_endpoint_is_the_regions),
		TEST(the_endpoint_can_be_said),
		TEST(a_wrong_endpoint_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
