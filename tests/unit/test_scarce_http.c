/* A store behind HTTP, and the services that give credentials, where memory runs out at
 * any point. The server is a process of its own: it always has memory. */
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fetch/creds.h"
#include "fetch/exchange.h"
#include "fetch/probe.h"
#include "fetch/publication.h"
#include "fetch/s3_upload.h"
#include "tests/unit/creds_case.h"
#include "tests/unit/http_script.h"
#include "tests/unit/scarce.h"

#define CONTENT   "0123456789"
#define PART_SIZE 1000u

/* --- the server ------------------------------------------------------------------------
 */

static bool send_range(struct script_connection *c, const struct script_request *request)
{
	const char *range = script_field(request, "Range");
	unsigned first = 0, last = 9;
	if (range && sscanf(range, "bytes=%u-%u", &first, &last) != 2)
		first = 0; /* a suffix that is longer than all there is */
	char fields[128];
	snprintf(fields, sizeof(fields),
		"ETag: \"e\"\r\nContent-Range: bytes %u-%u/10\r\n", first, last);
	return script_answer(
		c, "206 Partial Content", fields, &CONTENT[first], last - first + 1);
}

static bool say(struct script_connection *c, const char *body)
{
	return script_answer(c, "200 OK", "ETag: \"e\"\r\n", body, strlen(body));
}

static bool serve(
	struct script_connection *c, const struct script_request *request, void *arg)
{
	const char *target = request->target;
	if (strstr(target, "/creds") || strstr(target, "/iam/"))
		return say(c, JSON_ANSWER("C"));
	if (strstr(request->body ? request->body : "", "AssumeRole"))
		return say(c, STS_ANSWER("W"));
	if (strstr(target, "list-type=2"))
		return say(c, "<ListBucketResult><Contents><Key>k</Key></Contents>"
			      "</ListBucketResult>");
	if (strstr(target, "uploads="))
		return say(c, "<InitiateMultipartUploadResult><UploadId>u</UploadId>"
			      "</InitiateMultipartUploadResult>");
	if (!strcmp(request->method, "POST"))
		return say(c, "<CompleteMultipartUploadResult><ETag>e</ETag>"
			      "</CompleteMultipartUploadResult>");
	if (!strcmp(request->method, "PUT"))
		return say(c, "");
	if (!strcmp(request->method, "DELETE"))
		return script_answer(c, "204 No Content", "", "", 0);
	if (!strcmp(request->method, "HEAD"))
		return script_answer(c, "200 OK", "ETag: \"e\"\r\n", "", 0);
	return send_range(c, request);
}

struct server {
	pid_t pid;
	char origin[64];
};

static void be_server(int out)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	const char *origin = http_script_origin(http_script_start(serve, NULL));
	if (write(out, origin, strlen(origin)) < 0)
		_exit(1);
	close(out);
	for (;;)
		pause();
}

static struct server server_start(void)
{
	struct server s = {0};
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (!s.pid)
		be_server(fds[1]);
	close(fds[1]);
	assert_true(read(fds[0], s.origin, sizeof(s.origin) - 1) > 0);
	close(fds[0]);
	return s;
}

static void server_stop(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

/* --- the store -------------------------------------------------------------------------
 */

static int open_store(const struct server *server, struct store **ret)
{
	struct settings s;
	settings_init(&s);
	s.retries = 0;
	int r = settings_set(&s, "endpoint-url", server->origin, NULL);
	if (r == 0)
		r = settings_set(&s, "cache-dir", "", NULL);
	if (r == 0)
		r = store_new("s3://bucket/prefix", &s, ret, NULL);
	settings_finish(&s);
	return r;
}

static int count_key(void *arg, const struct list_entry *entry)
{
	++*(unsigned *)arg;
	return 0;
}

static int read_store(void *arg)
{
	CLEANUP(cleanup_store) struct store *s = NULL;
	CLEANUP(cleanup_object) struct object *o = NULL;
	unsigned keys = 0;
	char got[4];
	int r = open_store(arg, &s);
	if (r == 0)
		r = store_open_object(s, CALL_PATIENT, "k", 100, &o, NULL, NULL);
	if (r == 0)
		r = range_source_read(object_source(o), CALL_PATIENT, 2, 4, got, NULL);
	if (r == 0)
		assert_memory_equal(got, "2345", 4);
	return r < 0 ? r : store_list(s, CALL_PATIENT, "", true, count_key, &keys, NULL);
}

static int publish(void *arg)
{
	const struct publish_options options = {.condition = PUBLISH_OVERWRITE};
	CLEANUP(cleanup_store) struct store *s = NULL;
	CLEANUP(cleanup_publication) struct publication *p = NULL;
	struct publish_result result;
	int r = open_store(arg, &s);
	if (r == 0)
		r = publication_begin(s, CALL_PATIENT, "k", &options, &p, NULL);
	if (r == 0)
		r = publication_write(p, CALL_PATIENT, CONTENT, 10, NULL);
	return r < 0 ? r : publication_finish(p, CALL_PATIENT, NULL, &result, NULL);
}

static int probe(void *arg)
{
	CLEANUP(cleanup_store) struct store *s = NULL;
	struct probe_answer answer;
	int r = open_store(arg, &s);
	if (r == 0)
		r = probe_ask(s, CALL_PATIENT, 0, 0, &answer, NULL);
	if (r == 0)
		assert_int_equal(answer.put, HONOUR_NO);
	return r;
}

static int send_parts(struct exchanger *x)
{
	const struct http_target target = {
		.exchanger = x, .path = "/bucket/k", .key = "k", .store = "s3://bucket"};
	uint64_t sent = 0;
	const struct s3_upload_options options = {
		.target = &target,
		.nonce = "00000000000000000000000000000000",
		.plan = {.first = PART_SIZE, .equal = true},
		.concurrency = 2,
		.sent = &sent,
	};
	CLEANUP(cleanup_s3_upload) struct s3_upload *u = NULL;
	struct publish_result result;
	char data[PART_SIZE * 5 / 2] = "";
	int r = s3_upload_new(&options, CALL_PATIENT, &u, NULL);
	if (r == 0)
		r = s3_upload_write(u, CALL_PATIENT, data, sizeof(data), NULL);
	return r < 0 ? r : s3_upload_complete(u, CALL_PATIENT, false, &result, NULL);
}

static int upload(void *arg)
{
	const struct server *server = arg;
	struct settings s;
	CLEANUP(cleanup_exchanger) struct exchanger *x = NULL;
	settings_init(&s);
	s.retries = 0;
	const struct exchanger_options options = {
		.scheme_host = server->origin, .settings = &s};
	int r = exchanger_new(&options, &x, NULL);
	if (r == 0)
		r = send_parts(x);
	settings_finish(&s);
	return r;
}

static void a_store_is_read_and_written(void **state)
{
	CLEANUP(server_stop) struct server s = server_start();
	setenv("AWS_ACCESS_KEY_ID", "AKIA", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	scarce_try("reading a store", read_store, &s);
	scarce_try("publishing", publish, &s);
	scarce_try("probing", probe, &s);
	scarce_try("uploading in parts", upload, &s);
}

/* --- credentials -----------------------------------------------------------------------
 */

static int ask_for_credentials(void *arg)
{
	struct credentials c;
	int r = get_once(CALL_PATIENT, &c, NULL, NULL);
	if (r == 0)
		assert_string_equal(c.access_key, arg);
	return r;
}

static void services_give_credentials(void **state)
{
	CLEANUP(server_stop) struct server s = server_start();
	char url[128];
	snprintf(url, sizeof(url), "%s/creds", s.origin);
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "word", 1);
	scarce_try("a container's credentials", ask_for_credentials, (void *)"C");
	unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	setenv("AWS_ENDPOINT_URL_STS", s.origin, 1);
	setenv("AWS_ROLE_ARN", ROLE, 1);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_write("token", "eyJ.x"), 1);
	scarce_try("a web identity's credentials", ask_for_credentials, (void *)"W");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_store_is_read_and_written),
		TEST(services_give_credentials),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
