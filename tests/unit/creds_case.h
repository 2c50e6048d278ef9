/*
 * What the tests of credential sources share: one round of asking, and a server that
 * gives one kind of answer and notes what it was asked.
 */
#ifndef LARDER_TESTS_UNIT_CREDS_CASE_H
#define LARDER_TESTS_UNIT_CREDS_CASE_H

#include <errno.h>

#include "fetch/creds.h"
#include "tests/unit/aws_home.h"
#include "tests/unit/http_script.h"

#define ROLE "arn:aws:iam::123456789012:role/ci"

#define STS_ANSWER(key)                                                                  \
	"<R><AssumeRoleResult><Credentials><AccessKeyId>" key                            \
	"</AccessKeyId><SecretAccessKey>S" key "</SecretAccessKey><SessionToken>T" key   \
	"</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"     \
	"</AssumeRoleResult></R>"

#define JSON_ANSWER(key)                                                                 \
	"{\"Code\":\"Success\",\"AccessKeyId\":\"" key "\",\"SecretAccessKey\":\"S" key  \
	"\",\"Token\":\"T" key "\",\"Expiration\":\"2099-01-01T00:00:00Z\"}"

static struct settings settings;

static inline int begin(void **state)
{
	settings_init(&settings);
	return aws_home_make(state);
}

static inline int end(void **state)
{
	settings_finish(&settings);
	return aws_home_remove(state);
}

static inline int get_once(
	const struct call *call, struct credentials *ret, char *origin, struct error *e)
{
	struct creds *c;
	int r = creds_new(&settings, &c, e);
	if (r < 0)
		return r;
	r = creds_get(c, call, ret, e);
	if (origin)
		snprintf(origin, 256, "%s", creds_origin(c));
	creds_free(c);
	return r;
}

static inline void assert_credentials(
	const char *key, const char *secret, const char *token, const char *origin)
{
	struct credentials c;
	struct error e = {0};
	char from[256];
	int r = get_once(CALL_PATIENT, &c, from, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_string_equal(c.access_key, key);
	assert_string_equal(c.secret_key, secret);
	assert_string_equal(c.session_token, token);
	assert_non_null(strstr(from, origin));
}

/* For somebody who was started in the home directory and has left it, as a daemon does.
 */
static inline void assert_key_elsewhere(const char *key)
{
	struct creds *c;
	struct credentials got = {0};
	struct error e = {0};
	assert_int_equal(chdir(aws_home), 0);
	int r = creds_new(&settings, &c, &e);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(r, 0);
	r = creds_get(c, CALL_PATIENT, &got, &e);
	if (r < 0)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_string_equal(got.access_key, key);
	creds_free(c);
}

/* The sentence must hold `word`, and never a secret. */
static inline void assert_failure(int expected, const char *word)
{
	struct credentials c;
	struct error e = {0};
	int r = get_once(CALL_PATIENT, &c, NULL, &e);
	if (r != expected || !strstr(e.text, word))
		print_error("%d: %s\n", r, e.text);
	assert_int_equal(r, expected);
	assert_int_equal(e.code, expected);
	assert_non_null(strstr(e.text, word));
	assert_null(strstr(e.text, "sesame"));
}

static inline void set_option(const char *name, const char *value)
{
	assert_int_equal(settings_set(&settings, name, value, NULL), 0);
}

struct answers {
	const char *status, *body;           /* status NULL: silence */
	unsigned failures;                   /* answered 503 first */
	bool reset;                          /* those are reset instead, */
	const char *busy_status, *busy_body; /* or answered so; NULL: 503 */
	char target[256], body_seen[8192], authorization[1024], token[256];
};

static inline void note(char *ret, size_t size, const char *value)
{
	snprintf(ret, size, "%s", value ? value : "");
}

static inline bool answer(
	struct script_connection *c, const struct script_request *request, void *arg)
{
	struct answers *a = arg;
	note(a->target, sizeof(a->target), request->target);
	note(a->body_seen, sizeof(a->body_seen), request->body);
	note(a->authorization, sizeof(a->authorization),
		script_field(request, "Authorization"));
	note(a->token, sizeof(a->token), script_field(request, "x-amz-security-token"));
	if (request->number <= a->failures && a->busy_status)
		return script_answer(
			c, a->busy_status, "", a->busy_body, strlen(a->busy_body));
	if (request->number <= a->failures)
		return a->reset ? script_reset(c)
				: script_answer(c, "503 Busy", "", "busy", 4);
	if (!a->status)
		return script_hold(c);
	return script_answer(c, a->status, "", a->body, strlen(a->body));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
