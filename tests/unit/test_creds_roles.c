/*
 * Roles bought with a token or with keys, through creds_get() and a real exchange.
 */
#include "tests/unit/test.h"

#include "tests/unit/creds_case.h"

/* --- web identity ------------------------------------------------------------------ */

static struct http_script *begin_web_identity(struct answers *a)
{
	struct http_script *s = http_script_start(answer, a);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_write("token", "sesame+/=\n"), 1);
	setenv("AWS_ROLE_ARN", ROLE, 1);
	setenv("AWS_ENDPOINT_URL_STS", http_script_origin(s), 1);
	return s;
}

static void a_token_buys_a_role(void **state)
{
	struct answers a = {.status = "200 OK", .body = STS_ANSWER("W")};
	struct http_script *s = begin_web_identity(&a);
	setenv("AWS_ROLE_SESSION_NAME", "job 7", 1);
	assert_credentials("W", "SW", "TW", "role '" ROLE "' by web identity");
	assert_string_equal(a.target, "/");
	assert_string_equal(a.body_seen,
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%"
		"3Aiam"
		"%3A%3A123456789012%3Arole%2Fci&RoleSessionName=job%207&"
		"WebIdentityToken=sesame%2B%2F%3D");
	assert_string_equal(a.authorization, "");
	assert_int_equal(http_script_requests(s), 1);
	http_script_stop(s);
}

static void relative_tokens_lie_where_we_were_started(void **state)
{
	struct answers a = {.status = "200 OK", .body = STS_ANSWER("W")};
	struct http_script *s = begin_web_identity(&a);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "token", 1);
	assert_key_elsewhere("W");
	unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	aws_write(".aws/config",
		"[default]\nrole_arn = " ROLE "\nweb_identity_token_file = token\n");
	assert_key_elsewhere("W");
	assert_non_null(strstr(a.body_seen, "WebIdentityToken=sesame"));
	http_script_stop(s);
}

static void a_failing_service_is_asked_again(void **state)
{
	for (int reset = 0; reset < 2; reset++) {
		struct answers a = {.status = "200 OK",
			.body = STS_ANSWER("W"),
			.failures = 2,
			.reset = reset};
		struct http_script *s = begin_web_identity(&a);
		assert_credentials("W", "SW", "TW", "web identity");
		assert_int_equal(http_script_requests(s), 3);
		http_script_stop(s);
	}
}

static void a_failing_service_is_not_asked_for_ever(void **state)
{
	struct answers a = {.failures = 99};
	struct http_script *s = begin_web_identity(&a);
	assert_failure(-EIO, "status 503");
	assert_int_equal(http_script_requests(s), 3);
	http_script_stop(s);
}

/* It refuses nobody, whatever its status. */
static void a_throttling_service_is_asked_again(void **state)
{
#define SAYS(code) "<ErrorResponse><Error><Code>" code "</Code></Error></ErrorResponse>"
	static const char *const answers[][2] = {{"400 Bad Request", SAYS("Throttling")},
		{"400 Bad Request", SAYS("ThrottlingException")},
		{"400 Bad Request", SAYS("RequestLimitExceeded")},
		{"400 Bad Request", SAYS("IDPCommunicationError")},
		{"403 Forbidden", SAYS("ThrottledException")},
		{"429 Too Many Requests", "enough"}};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct answers a = {.status = "200 OK",
			.body = STS_ANSWER("W"),
			.failures = 2,
			.busy_status = answers[i][0],
			.busy_body = answers[i][1]};
		struct http_script *s = begin_web_identity(&a);
		assert_credentials("W", "SW", "TW", "web identity");
		assert_int_equal(http_script_requests(s), 3);
		http_script_stop(s);
		a.failures = 99;
		s = begin_web_identity(&a);
		assert_failure(-EIO, "refused role");
		assert_int_equal(http_script_requests(s), 3);
		http_script_stop(s);
	}
}

static void a_refusal_shows_its_code_alone(void **state)
{
	struct answers a = {.status = "400 Bad Request",
		.body = "<ErrorResponse><Error><Code>ExpiredTokenException</"
			"Code><Message>"
			"Token sesame+/= expired</Message></Error></ErrorResponse>"};
	struct http_script *s = begin_web_identity(&a);
	assert_failure(-EKEYREJECTED, "status 400, ExpiredTokenException");
	assert_int_equal(http_script_requests(s), 1);
	http_script_stop(s);
}

static void a_wrong_answer_is_no_credentials(void **state)
{
	static const char *const bodies[] = {"", "sesame", "<a/>",
		"<R><AssumeRoleResult><Credentials/></AssumeRoleResult></R>"};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct answers a = {.status = "200 OK", .body = bodies[i]};
		struct http_script *s = begin_web_identity(&a);
		assert_failure(-EKEYREJECTED, "something else than credentials");
		http_script_stop(s);
	}
}

static void a_silent_service_meets_the_deadline(void **state)
{
	struct answers a = {0};
	struct http_script *s = begin_web_identity(&a);
	struct call call = {.deadline_ns = clock_monotonic_ns() + 60 * NS_PER_MS};
	struct credentials c;
	assert_int_equal(get_once(&call, &c, NULL, NULL), -ETIMEDOUT);
	http_script_stop(s);
}

/* Also where its caller has no deadline, as larder commit has none. */
static void a_silent_service_is_not_waited_for_long(void **state)
{
	struct answers a = {0};
	struct http_script *s = begin_web_identity(&a);
	set_option("stall-timeout", "100ms");
	assert_failure(-EIO, "' does not answer");
	assert_int_equal(http_script_requests(s), 3);
	http_script_stop(s);
}

static void *fire_once_asked(void *arg)
{
	void **both = arg;
	http_script_wait_requests(both[0], 1);
	cancel_fire(both[1]);
	return NULL;
}

static void a_silent_service_can_be_given_up(void **state)
{
	struct answers a = {0};
	struct http_script *s = begin_web_identity(&a);
	struct cancel cancel;
	struct credentials c;
	pthread_t thread;
	cancel_init(&cancel);
	struct call call = {.deadline_ns = DEADLINE_NONE, .cancel = &cancel};
	assert_int_equal(
		pthread_create(&thread, NULL, fire_once_asked, (void *[]){s, &cancel}),
		0);
	assert_int_equal(get_once(&call, &c, NULL, NULL), -ECANCELED);
	pthread_join(thread, NULL);
	cancel_finish(&cancel);
	http_script_stop(s);
}

static void web_identity_must_be_whole(void **state)
{
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_path("token"), 1);
	assert_failure(-EKEYREJECTED, "'AWS_ROLE_ARN' is not");
	setenv("AWS_ROLE_ARN", ROLE, 1);
	assert_failure(-EKEYREJECTED, "cannot read the web identity token in '");
	aws_write("token", "\n");
	assert_failure(-EKEYREJECTED, "is empty");
	aws_write("token", "sesame");
	setenv("AWS_ENDPOINT_URL_STS", "nonsense", 1);
	assert_failure(-EKEYREJECTED, "AWS_ENDPOINT_URL_STS");
}

/* --- roles of profiles ------------------------------------------------------------- */

static void a_role_is_assumed_with_anothers_keys(void **state)
{
	struct answers a = {.status = "200 OK", .body = STS_ANSWER("R")};
	struct http_script *s = http_script_start(answer, &a);
	setenv("AWS_ENDPOINT_URL_STS", http_script_origin(s), 1);
	aws_write(".aws/credentials",
		"[base]\naws_access_key_id=B\naws_secret_access_key=sesame\n"
		"aws_session_token=TB\n");
	aws_write(".aws/config",
		"[profile r]\nrole_arn = " ROLE "\nsource_profile = base\n"
		"external_id = x/1\nduration_seconds = 900\n"
		"role_session_name = n\nregion = eu-west-1\n");
	set_option("profile", "r");
	assert_credentials("R", "SR", "TR", "role '" ROLE "' of profile 'r'");
	assert_string_equal(a.body_seen,
		"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A"
		"123456789012%3Arole%2Fci&RoleSessionName=n&ExternalId=x%2F1&"
		"DurationSeconds=900");
	assert_non_null(strstr(a.authorization, "Credential=B/"));
	assert_non_null(strstr(a.authorization, "/eu-west-1/sts/aws4_request"));
	assert_string_equal(a.token, "TB");
	http_script_stop(s);
}

/* The certificates that a profile names are those the service is checked with. */
static void a_profile_names_the_certificates(void **state)
{
	aws_write(".aws/config", "[default]\nrole_arn = " ROLE "\nsource_profile = default\n"
				 "aws_access_key_id = O\naws_secret_access_key = SO\n"
				 "ca_bundle = /no/such/ca.pem\n");
	struct answers a = {0};
	struct http_script *s = http_script_start(answer, &a);
	char url[64];
	snprintf(url, sizeof(url), "https%s", http_script_origin(s) + strlen("http"));
	setenv("AWS_ENDPOINT_URL_STS", url, 1);
	assert_failure(-EIO, "/no/such/ca.pem");
	aws_write(".aws/config",
		"[default]\nrole_arn = " ROLE "\nsource_profile = default\n"
		"aws_access_key_id = O\naws_secret_access_key = SO\n"
		"ca_bundle = ca.pem\n");
	assert_int_equal(chdir(aws_home), 0);
	assert_failure(-EIO, aws_path("ca.pem"));
	assert_int_equal(chdir("/"), 0);
	set_option("ca-bundle", "/no/other/ca.pem");
	assert_failure(-EIO, "/no/other/ca.pem");
	http_script_stop(s);
}

static void roles_lead_to_roles(void **state)
{
	struct answers a = {.status = "200 OK", .body = STS_ANSWER("R")};
	struct http_script *s = http_script_start(answer, &a);
	setenv("AWS_ENDPOINT_URL_STS", http_script_origin(s), 1);
	aws_write("token", "sesame");
	char text[1024];
	snprintf(text, sizeof(text),
		"[profile top]\nrole_arn = " ROLE "2\nsource_profile = mid\n"
		"[profile mid]\nrole_arn = " ROLE "1\nweb_identity_token_file = %s\n"
		"[profile self]\nrole_arn = " ROLE "\nsource_profile = self\n"
		"aws_access_key_id = O\naws_secret_access_key = SO\n"
		"[profile env]\nrole_arn = " ROLE "\ncredential_source = Environment\n",
		aws_path("token"));
	aws_write(".aws/config", text);
	set_option("profile", "top");
	assert_credentials("R", "SR", "TR", "of profile 'top'");
	assert_int_equal(http_script_requests(s), 2);
	assert_non_null(strstr(a.authorization, "Credential=R/"));
	set_option("profile", "self");
	assert_credentials("R", "SR", "TR", "of profile 'self'");
	assert_non_null(strstr(a.authorization, "Credential=O/"));
	setenv("AWS_ACCESS_KEY_ID", "E", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "SE", 1);
	set_option("profile", "env");
	assert_credentials("R", "SR", "TR", "of profile 'env'");
	assert_non_null(strstr(a.authorization, "Credential=E/"));
	http_script_stop(s);
}

static void roles_without_a_base_are_refused(void **state)
{
	aws_write(".aws/config",
		"[profile none]\nrole_arn = " ROLE "\n"
		"[profile two]\nrole_arn = " ROLE "\nsource_profile = none\n"
		"credential_source = Environment\n"
		"[profile lost]\nrole_arn = " ROLE "\nsource_profile = nobody\n"
		"[profile odd]\nrole_arn = " ROLE "\ncredential_source = Oracle\n"
		"[profile env]\nrole_arn = " ROLE "\ncredential_source = Environment\n"
		"[profile a]\nrole_arn = " ROLE "\nsource_profile = b\n"
		"[profile b]\nrole_arn = " ROLE "\nsource_profile = a\n"
		"[profile self]\nrole_arn = " ROLE "\nsource_profile = self\n");
	static const char *const cases[][2] = {{"none", "without source_profile"},
		{"two", "both"}, {"lost", "'nobody', which does not exist"},
		{"odd", "'Oracle'"}, {"env", "AWS_ACCESS_KEY_ID is not set"},
		{"a", "chain"}, {"self", "aws_access_key_id"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_option("profile", cases[i][0]);
		assert_failure(-EKEYREJECTED, cases[i][1]);
	}
}

/* A server whose clock is an hour ahead refuses what was signed by ours. */
static bool answer_by_its_own_clock(
	struct script_connection *c, const struct script_request *request, void *arg)
{
	static const char denied[] = "<ErrorResponse><Error><Code>SignatureDoesNotMatch"
				     "</Code></Error></ErrorResponse>";
	const char *stamp = script_field(request, "x-amz-date");
	if (!strcmp(stamp, "20400102T030405Z"))
		return script_answer(
			c, "200 OK", "", STS_ANSWER("R"), strlen(STS_ANSWER("R")));
	return script_answer(c, "403 Forbidden",
		"Date: Mon, 02 Jan 2040 03:04:05 GMT\r\n", denied, strlen(denied));
}

static void another_clock_is_learned(void **state)
{
	struct http_script *s = http_script_start(answer_by_its_own_clock, NULL);
	setenv("AWS_ENDPOINT_URL_STS", http_script_origin(s), 1);
	aws_write(".aws/config",
		"[default]\nrole_arn = " ROLE "\nsource_profile = default\n"
		"aws_access_key_id = O\naws_secret_access_key = SO\n");
	assert_credentials("R", "SR", "TR", "of profile 'default'");
	assert_int_equal(http_script_requests(s), 2);
	http_script_stop(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_token_buys_a_role),
		TEST(relative_tokens_lie_where_we_were_started),
		TEST(a_failing_service_is_asked_again),
		TEST(a_failing_service_is_not_asked_for_ever),
		TEST(a_throttling_service_is_asked_again),
		TEST(a_refusal_shows_its_code_alone),
		TEST(a_wrong_answer_is_no_credentials),
		TEST(a_silent_service_meets_the_deadline),
		TEST(a_silent_service_is_not_waited_for_long),
		TEST(a_silent_service_can_be_given_up),
		TEST(web_identity_must_be_whole),
		TEST(a_role_is_assumed_with_anothers_keys),
		TEST(a_profile_names_the_certificates),
		TEST(roles_lead_to_roles),
		TEST(roles_without_a_base_are_refused),
		TEST(another_clock_is_learned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
