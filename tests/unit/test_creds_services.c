/*
 * The credential services of containers and instances, through creds_get() and a real
 * exchange.
 */
#include "tests/unit/test.h"

#include "fetch/creds_container.h"
#include "tests/unit/creds_case.h"

/* --- container --------------------------------------------------------------------- */

static void container_addresses_are_near_or_safe(void **state)
{
	static const char *const right[][3] = {
		{"/v2/credentials/x?y", "http://ignored",
			"http://169.254.170.2/v2/credentials/x?y"},
		{NULL, "http://localhost:80/a", "http://localhost/a"},
		{NULL, "http://127.1.2.3:8080/a", "http://127.1.2.3:8080/a"},
		{"", "http://[::1]:8080", "http://[::1]:8080"},
		{NULL, "http://169.254.170.23/v1/credentials",
			"http://169.254.170.23/v1/credentials"},
		{NULL, "http://[fd00:ec2::23]/v1", "http://[fd00:ec2::23]/v1"},
		{NULL, "https://any.example/a", "https://any.example/a"},
	};
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		CLEANUP(cleanup_free) char *url = NULL;
		assert_int_equal(container_url(right[i][0], right[i][1], &url, NULL), 0);
		assert_string_equal(url, right[i][2]);
	}
	static const char *const wrong[][2] = {{NULL, "http://any.example/a"},
		{NULL, "http://169.254.169.254/a"}, {NULL, "http://128.0.0.1/a"},
		{NULL, "http://localhost.example/a"}, {NULL, "http://[::2]/a"},
		{NULL, "http://127.0.0.1/a b"}, {NULL, "http://127.0.0.1/a\r\nX: y"},
		{NULL, "http://127.0.0.1#a"}, {NULL, "file:///etc/passwd"},
		{NULL, "nonsense"}, {"@evil.example/", NULL}, {"a", NULL},
		{"/a b", NULL}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *url = NULL;
		assert_int_equal(container_url(wrong[i][0], wrong[i][1], &url, NULL),
			-EKEYREJECTED);
		assert_null(url);
	}
	char *url;
	assert_int_equal(container_url(NULL, "", &url, NULL), -ENOENT);
}

static struct http_script *begin_container(struct answers *a)
{
	struct http_script *s = http_script_start(answer, a);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_script_url(s, "/creds?id=1"),
		1);
	return s;
}

static void a_container_service_answers(void **state)
{
	struct answers a = {.status = "200 OK", .body = JSON_ANSWER("C")};
	struct http_script *s = begin_container(&a);
	setenv("http_proxy", "http://127.0.0.1:1", 1); /* not for such a service */
	assert_credentials(
		"C", "SC", "TC", "the container service at 'http://127.0.0.1:");
	assert_string_equal(a.target, "/creds?id=1");
	assert_string_equal(a.authorization, "");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic sesame", 1);
	assert_credentials("C", "SC", "TC", "the container service");
	assert_string_equal(a.authorization, "Basic sesame");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", aws_write("token", "eyJ.x\n"),
		1);
	assert_credentials("C", "SC", "TC", "the container service");
	assert_string_equal(a.authorization, "eyJ.x");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", 1);
	assert_key_elsewhere("C");
	assert_string_equal(a.authorization, "eyJ.x");
	unsetenv("http_proxy");
	http_script_stop(s);
}

static void a_container_service_can_refuse(void **state)
{
	struct answers a = {.status = "403 Forbidden", .body = "sesame"};
	struct http_script *s = begin_container(&a);
	assert_failure(-EKEYREJECTED, "status 403");
	a.status = "200 OK";
	assert_failure(-EKEYREJECTED, "something else than credentials");
	a.status = "302 Found";
	assert_failure(-EKEYREJECTED, "status 302");
	a.failures = 99;
	assert_failure(-EIO, "status 503");
	assert_int_equal(http_script_requests(s), 6);
	a.busy_status = "429 Too Many Requests";
	a.busy_body = "sesame";
	assert_failure(-EIO, "status 429");
	assert_int_equal(http_script_requests(s), 9);
	http_script_stop(s);
	assert_failure(-EIO, "127.0.0.1");
}

/* A URL may hold a secret; who has no time left is told none of it. */
static void a_container_that_cannot_be_asked_is_named_without_its_query(void **state)
{
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"http://127.0.0.1:1/creds?token=sesame", 1);
	struct call late = {.deadline_ns = 1};
	struct credentials c;
	struct error e = {0};
	assert_int_equal(get_once(&late, &c, NULL, &e), -ETIMEDOUT);
	assert_non_null(strstr(e.text, "cannot ask 'http://127.0.0.1:1/creds"));
	assert_null(strstr(e.text, "sesame"));
}

static void a_container_token_must_be_readable(void **state)
{
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", aws_path("token"), 1);
	assert_failure(-EKEYREJECTED, "cannot read the container authorization token");
	unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "sesame\r\nX: y", 1);
	assert_failure(-EKEYREJECTED, "line break");
}

/* --- instance ---------------------------------------------------------------------- */

struct instance {
	const char *token_status, *roles_status, *roles, *answer;
	bool silent;
	unsigned wrong; /* requests that version 2 would refuse */
};

static bool answer_as_instance(
	struct script_connection *c, const struct script_request *request, void *arg)
{
	static const char roles[] = "/latest/meta-data/iam/security-credentials/";
	struct instance *i = arg;
	const char *token = script_field(request, "X-aws-ec2-metadata-token");
	const char *ttl = script_field(request, "X-aws-ec2-metadata-token-ttl-seconds");
	if (i->silent)
		return script_hold(c);
	if (!strcmp(request->target, "/latest/api/token")) {
		i->wrong += strcmp(request->method, "PUT") || !ttl || atoi(ttl) < 1;
		return script_answer(c, i->token_status, "", "sesame-token\n", 13);
	}
	i->wrong +=
		strcmp(request->method, "GET") || !token || strcmp(token, "sesame-token");
	if (!strcmp(request->target, roles))
		return script_answer(c, i->roles_status, "", i->roles, strlen(i->roles));
	if (!strcmp(request->target + strlen(roles), "ci%2Bx%40y"))
		return script_answer(c, "200 OK", "", i->answer, strlen(i->answer));
	return script_answer(c, "404 Not Found", "", "", 0);
}

static struct http_script *begin_instance(struct instance *i)
{
	i->token_status = i->roles_status = "200 OK";
	i->roles = "ci+x@y\nother";
	i->answer = JSON_ANSWER("I");
	struct http_script *s = http_script_start(answer_as_instance, i);
	unsetenv("AWS_EC2_METADATA_DISABLED");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", http_script_url(s, "/"), 1);
	return s;
}

static void an_instance_has_a_role(void **state)
{
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	assert_credentials(
		"I", "SI", "TI", "role 'ci+x@y' of the instance at 'http://127");
	assert_int_equal(http_script_requests(s), 3);
	assert_int_equal(i.wrong, 0);
	setenv("AWS_EC2_METADATA_DISABLED", "True", 1);
	assert_failure(-EKEYREJECTED, "AWS_EC2_METADATA_DISABLED");
	assert_int_equal(http_script_requests(s), 3);
	http_script_stop(s);
}

static void a_machine_that_is_no_instance_has_none(void **state)
{
	static const char *const statuses[] = {
		"400 Bad Request", "403 Forbidden", "404 Not Found", "405 Not Allowed"};
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	for (size_t n = 0; n < sizeof(statuses) / sizeof(statuses[0]); n++) {
		char word[16];
		i.token_status = statuses[n];
		snprintf(word, sizeof(word), "status %.3s", statuses[n]);
		assert_failure(-EKEYREJECTED, word);
		assert_failure(-EKEYREJECTED, "AWS_ACCESS_KEY_ID is not set");
	}
	assert_int_equal(http_script_requests(s), 8);
	http_script_stop(s);
	assert_failure(
		-EKEYREJECTED, "no instance metadata service answers at 'http://127");
}

static void an_instance_may_have_no_role(void **state)
{
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	i.roles_status = "404 Not Found";
	assert_failure(-EKEYREJECTED, "has no role");
	i.roles_status = "200 OK";
	i.roles = "";
	assert_failure(-EKEYREJECTED, "names no role");
	i.roles = "a name that is too long for a role, which has 64 characters at most";
	assert_failure(-EKEYREJECTED, "names no role");
	i.roles = "unknown/../role";
	assert_failure(-EKEYREJECTED, "status 404");
	http_script_stop(s);
}

static void an_instance_can_refuse(void **state)
{
	static const char *const answers[] = {"", "sesame",
		"{\"Code\":\"AssumeRoleUnauthorizedAccess\"}",
		"{\"AccessKeyId\":\"I\",\"SecretAccessKey\":\"sesame\"}",
		"{\"Code\":\"Success\",\"AccessKeyId\":\"I\"}"};
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	for (size_t n = 0; n < sizeof(answers) / sizeof(answers[0]); n++) {
		i.answer = answers[n];
		assert_failure(-EKEYREJECTED, "no credentials for the instance's role");
	}
	i.roles_status = "401 Unauthorized";
	assert_failure(-EKEYREJECTED, "status 401");
	http_script_stop(s);
}

static void a_busy_instance_is_asked_again(void **state)
{
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	i.token_status = "503 Busy";
	assert_failure(-EIO, "status 503");
	assert_int_equal(http_script_requests(s), 2);
	i.token_status = "200 OK";
	i.roles_status = "503 Busy";
	assert_failure(-EIO, "status 503");
	assert_int_equal(http_script_requests(s), 2 + 3); /* token, and twice the role */
	setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "4", 1);
	assert_failure(-EIO, "status 503");
	assert_int_equal(http_script_requests(s), 2 + 3 + 5);
	i.token_status = "429 Too Many Requests";
	assert_failure(-EIO, "status 429");
	assert_int_equal(http_script_requests(s), 2 + 3 + 5 + 4);
	http_script_stop(s);
}

static void a_silent_instance_meets_the_deadline(void **state)
{
	struct instance i = {.silent = true};
	struct http_script *s = begin_instance(&i);
	struct call call = {.deadline_ns = clock_monotonic_ns() + 60 * NS_PER_MS};
	struct credentials c;
	assert_int_equal(get_once(&call, &c, NULL, NULL), -ETIMEDOUT);
	http_script_stop(s);
}

static struct cancel given_up;

static bool answer_too_late(
	struct script_connection *c, const struct script_request *request, void *arg)
{
	cancel_fire(&given_up);
	return script_answer(c, "503 Busy", "", "busy", 4);
}

/* The grace has the answer waited for, so that it is the pause that is ended. */
static void a_pause_of_a_busy_service_can_be_given_up(void **state)
{
	struct http_script *s = http_script_start(answer_too_late, NULL);
	struct call call = {.deadline_ns = DEADLINE_NONE,
		.cancel = &given_up,
		.grace_ns = 30 * NS_PER_SECOND};
	struct credentials c;
	struct error e = {0};
	cancel_init(&given_up);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_script_url(s, "/"), 1);
	assert_int_equal(get_once(&call, &c, NULL, &e), -ECANCELED);
	assert_non_null(strstr(e.text, "cannot ask 'http://127.0.0.1:"));
	assert_int_equal(http_script_requests(s), 1);
	http_script_stop(s);
	cancel_finish(&given_up);
}

/* Ten attempts have pauses of some seconds between them. */
static void a_pause_of_a_busy_service_meets_the_deadline(void **state)
{
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	struct call call = {.deadline_ns = clock_monotonic_ns() + 200 * NS_PER_MS};
	struct credentials c;
	i.token_status = "503 Busy";
	setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "10", 1);
	assert_int_equal(get_once(&call, &c, NULL, NULL), -ETIMEDOUT);
	http_script_stop(s);
}

/* What a caller with time for more waits until it is told that nobody is there. */
static uint64_t silence_of(struct http_script *s, unsigned attempts)
{
	uint64_t begun_ns = clock_monotonic_ns();
	struct call call = {.deadline_ns = begun_ns + 30 * NS_PER_SECOND};
	struct credentials c;
	struct error e = {0};
	unsigned before = http_script_requests(s);
	assert_int_equal(get_once(&call, &c, NULL, &e), -EKEYREJECTED);
	assert_non_null(strstr(e.text, "no instance metadata service answers"));
	assert_int_equal(http_script_requests(s) - before, attempts);
	return clock_monotonic_ns() - begun_ns;
}

static void a_silent_instance_is_not_waited_for_long(void **state)
{
	struct instance i = {.silent = true};
	struct http_script *s = begin_instance(&i);
	assert_in_range(silence_of(s, 2), 2 * NS_PER_SECOND, 25 * NS_PER_SECOND);
	setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1", 1);
	setenv("AWS_METADATA_SERVICE_TIMEOUT", "2", 1);
	assert_in_range(silence_of(s, 1), 2 * NS_PER_SECOND, 25 * NS_PER_SECOND);
	http_script_stop(s);
}

/* What comes is taken for refused by the store, so that the next call renews it. */
static void assert_renewal(struct creds *c, int expected, const char *word)
{
	struct credentials used = {0};
	struct error e = {0};
	setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1", 1);
	int r = creds_get(c, CALL_PATIENT, &used, &e);
	if (r != expected || !strstr(e.text, word))
		print_error("%d: %s\n", r, e.text);
	assert_int_equal(r, expected);
	assert_non_null(strstr(e.text, word));
	creds_refused(c, &used);
}

static struct creds *first_credentials(void)
{
	struct creds *c;
	assert_int_equal(creds_new(&settings, &c, NULL), 0);
	assert_renewal(c, 0, "");
	return c;
}

/* Nobody has refused anything: the machine is an instance, and was one a moment ago. */
static void an_instance_that_falls_silent_is_no_refusal(void **state)
{
	static const char *const profiles[] = {"",
		"[default]\nrole_arn = " ROLE "\ncredential_source = "
		"Ec2InstanceMetadata\n"};
	for (size_t n = 0; n < sizeof(profiles) / sizeof(profiles[0]); n++) {
		struct instance i = {0};
		struct answers a = {.status = "200 OK", .body = STS_ANSWER("R")};
		struct http_script *s = begin_instance(&i),
				   *sts = http_script_start(answer, &a);
		setenv("AWS_ENDPOINT_URL_STS", http_script_origin(sts), 1);
		aws_write(".aws/config", profiles[n]);
		struct creds *c = first_credentials();
		i.silent = true;
		assert_renewal(c, -EIO, "no instance metadata service answers at 'http");
		http_script_stop(s);
		assert_renewal(c, -EIO, "no instance metadata service answers at 'http");
		creds_free(c);
		http_script_stop(sts);
	}
}

static void a_role_that_was_taken_away_is_a_refusal(void **state)
{
	struct instance i = {0};
	struct http_script *s = begin_instance(&i);
	struct creds *c = first_credentials();
	i.roles_status = "404 Not Found";
	assert_renewal(c, -EKEYREJECTED, "no credentials any more: the instance at");
	i.token_status = "403 Forbidden";
	assert_renewal(c, -EKEYREJECTED, "no credentials any more: the instance meta");
	creds_free(c);
	http_script_stop(s);
}

static void an_odd_endpoint_is_named(void **state)
{
	unsetenv("AWS_EC2_METADATA_DISABLED");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254", 1);
	assert_failure(-EKEYREJECTED, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
}

static void a_role_can_stand_on_the_instance(void **state)
{
	struct instance i = {0};
	struct answers a = {.status = "200 OK", .body = STS_ANSWER("R")};
	struct http_script *s = begin_instance(&i), *sts = http_script_start(answer, &a);
	setenv("AWS_ENDPOINT_URL_STS", http_script_origin(sts), 1);
	aws_write(".aws/config", "[default]\nrole_arn = " ROLE
				 "\ncredential_source = Ec2InstanceMetadata\n");
	assert_credentials("R", "SR", "TR", "of profile 'default'");
	assert_non_null(strstr(a.authorization, "Credential=I/"));
	http_script_stop(s);
	http_script_stop(sts);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(container_addresses_are_near_or_safe),
		TEST(a_container_service_answers),
		TEST(a_container_service_can_refuse),
		TEST(a_container_that_cannot_be_asked_is_named_without_its_query),
		TEST(a_container_token_must_be_readable),
		TEST(an_instance_has_a_role),
		TEST(a_machine_that_is_no_instance_has_none),
		TEST(an_instance_may_have_no_role),
		TEST(an_instance_can_refuse),
		TEST(a_busy_instance_is_asked_again),
		TEST(a_silent_instance_meets_the_deadline),
		TEST(a_pause_of_a_busy_service_can_be_given_up),
		TEST(a_pause_of_a_busy_service_meets_the_deadline),
		TEST(a_silent_instance_is_not_waited_for_long),
		TEST(an_instance_that_falls_silent_is_no_refusal),
		TEST(a_role_that_was_taken_away_is_a_refusal),
		TEST(an_odd_endpoint_is_named),
		TEST(a_role_can_stand_on_the_instance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
