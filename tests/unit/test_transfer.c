/* What one exchange does: requests as sent, answers as taken, every way to break. */
#include "tests/unit/test.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fetch/base/io.h"
#include "fetch/transfer.h"
#include "tests/unit/http_script.h"

#define PATIENCE (120 * NS_PER_SECOND) /* of a test whose call must not run into it */
#define BRIEF    (40 * NS_PER_MS)

struct fixture {
	struct http_script *server;
	struct transfer *transfer;
};

static void begin(struct fixture *f, http_script_fn *fn, const void *arg)
{
	static const struct transfer_options options = {
		.concurrency = 4, .no_proxy = true};
	struct error e = {0};
	f->server = http_script_start(fn, (void *)arg);
	assert_int_equal(transfer_new(&options, &f->transfer, &e), 0);
}

static void end(struct fixture *f)
{
	transfer_free(f->transfer);
	http_script_stop(f->server);
}

static struct http_request get(const char *url)
{
	return (struct http_request){.method = "GET", .url = url, .body_fd = -1};
}

static int perform(struct fixture *f, const struct http_request *request,
	struct http_response *ret, struct error *e)
{
	struct call call = {.deadline_ns = clock_monotonic_ns() + PATIENCE};
	return transfer_perform(f->transfer, &call, request, ret, e);
}

/* Performs a GET of "/" that must fail, and returns how. */
static int failure(struct fixture *f, struct http_request *more)
{
	struct http_request request = more ? *more : get(NULL);
	struct http_response response;
	struct error e = {0};
	request.url = http_script_url(f->server, "/key");
	int r = perform(f, &request, &response, &e);
	assert_true(r < 0);
	assert_int_equal(e.code, r);
	assert_non_null(strstr(e.text, "/key'"));
	return r;
}

/* --- requests ------------------------------------------------------------------------
 */

static bool echo_head(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	return script_answer(c, "200 OK", "ETag: \"e\"\r\n", rq->head, strlen(rq->head));
}

static void only_what_was_asked_for_is_sent(void **state)
{
	struct fixture f;
	struct http_response response;
	static const char *const headers[] = {
		"range: bytes=0-9", "x-empty:", "x-blank: \t", NULL};
	char expected[512];
	begin(&f, echo_head, NULL);
	struct http_request request = get(http_script_url(f.server, "/a/../b%2Fc?q=1"));
	request.headers = headers;
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	snprintf(expected, sizeof(expected),
		"GET /a/../b%%2Fc?q=1 HTTP/1.1\r\nHost: %s\r\nUser-Agent: larder/%s\r\n"
		"range: bytes=0-9\r\nx-empty:\r\nx-blank:\r\n\r\n",
		http_script_origin(f.server) + 7, LARDER_VERSION);
	assert_string_equal(buf_str(&response.body), expected);
	assert_int_equal(response.status, 200);
	assert_string_equal(response.fields.etag, "\"e\"");
	assert_true(response.received == strlen(expected));
	assert_true(response.total_ns >= response.first_byte_ns);
	assert_true(response.first_byte_ns >= response.connect_ns);
	assert_false(response.hedged);
	http_response_finish(&response);
	end(&f);
}

static void an_own_accept_is_sent(void **state)
{
	struct fixture f;
	struct http_response response;
	static const char *const headers[] = {"accept: text/xml", NULL};
	begin(&f, echo_head, NULL);
	struct http_request request = get(http_script_url(f.server, "/"));
	request.headers = headers;
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_non_null(strstr(buf_str(&response.body), "\r\naccept: text/xml\r\n"));
	http_response_finish(&response);
	end(&f);
}

static void connections_are_used_again_unless_a_fresh_one_is_wanted(void **state)
{
	struct fixture f;
	struct http_response response;
	begin(&f, echo_head, NULL);
	struct http_request request = get(http_script_url(f.server, "/"));
	for (int i = 0; i < 4; i++) {
		request.fresh_connection = i == 3;
		assert_int_equal(http_script_connections(f.server), i > 0);
		assert_int_equal(perform(&f, &request, &response, NULL), 0);
		http_response_finish(&response);
	}
	assert_int_equal(http_script_connections(f.server), 2);
	assert_int_equal(http_script_requests(f.server), 4);
	end(&f);
}

struct upload {
	char *body; /* owned */
	size_t len;
	char method[8];
	char length[32];
	bool expect;
};

static bool keep_upload(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	struct upload *u = arg;
	const char *length = script_field(rq, "Content-Length");
	free(u->body);
	u->body = malloc(rq->body_len + 1);
	memcpy(u->body, rq->body, rq->body_len + 1);
	u->len = rq->body_len;
	u->expect = script_field(rq, "Expect");
	snprintf(u->method, sizeof(u->method), "%s", rq->method);
	snprintf(u->length, sizeof(u->length), "%s", length ? length : "none");
	return script_answer(c, "200 OK", "", "", 0);
}

static void check_upload(struct fixture *f, struct upload *u,
	const struct http_request *request, const void *expected)
{
	struct http_response response;
	assert_int_equal(perform(f, request, &response, NULL), 0);
	http_response_finish(&response);
	assert_int_equal(u->len, request->body_len);
	assert_memory_equal(u->body, expected, u->len);
	assert_string_equal(u->method, request->method);
	assert_false(u->expect);
}

static char *pattern_new(size_t len)
{
	char *data = malloc(len);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 7 + i / 251);
	return data;
}

#define BIG (3u << 20)

static void bodies_are_sent_from_memory_and_from_files(void **state)
{
	struct fixture f;
	struct upload u = {0};
	CLEANUP(cleanup_free) char *data = pattern_new(BIG);
	CLEANUP(cleanup_close) int fd = memfd_create("body", MFD_CLOEXEC);
	assert_int_equal(pwrite_fully(fd, data, BIG, 0), 0);
	begin(&f, keep_upload, &u);
	struct http_request request = get(http_script_url(f.server, "/"));
	request.method = "PUT";
	request.body = data;
	request.body_len = BIG;
	check_upload(&f, &u, &request, data);
	assert_string_equal(u.length, "3145728");
	request.method = "POST";
	request.body = NULL;
	request.body_fd = fd;
	request.body_offset = 1000;
	request.body_len = BIG - 2000;
	check_upload(&f, &u, &request, data + 1000);
	request.body_len = 0;
	check_upload(&f, &u, &request, data);
	assert_string_equal(u.length, "0");
	request = get(request.url);
	check_upload(&f, &u, &request, data);
	assert_string_equal(u.length, "none");
	request.method = "DELETE";
	check_upload(&f, &u, &request, data);
	assert_string_equal(u.length, "none");
	assert_int_equal(http_script_connections(f.server), 1);
	free(u.body);
	end(&f);
}

static void a_file_that_is_too_short_is_not_sent(void **state)
{
	struct fixture f;
	struct upload u = {0};
	CLEANUP(cleanup_close) int fd = memfd_create("body", MFD_CLOEXEC);
	assert_int_equal(pwrite_fully(fd, "abc", 3, 0), 0);
	begin(&f, keep_upload, &u);
	struct http_request request = get(NULL);
	request.method = "PUT";
	request.body_fd = fd;
	request.body_len = 4;
	assert_int_equal(failure(&f, &request), -EIO);
	assert_int_equal(http_script_requests(f.server), 0);
	end(&f);
}

static void nonsense_is_not_sent(void **state)
{
	struct fixture f;
	struct http_response response;
	struct error e = {0};
	static const char *const bad_headers[] = {
		"no-colon", ": x", "a: b\r\nc: d", "a: b\n"};
	static const char *const bad_urls[] = {"file:///etc/passwd", "http://", "nothing",
		"http://user:secret@127.0.0.1/", "ftp://127.0.0.1/"};
	begin(&f, echo_head, NULL);
	for (size_t i = 0; i < 4; i++) {
		const char *const headers[] = {bad_headers[i], NULL};
		struct http_request request = get(http_script_url(f.server, "/"));
		request.headers = headers;
		assert_int_equal(perform(&f, &request, &response, &e), -EINVAL);
	}
	for (size_t i = 0; i < 5; i++) {
		struct http_request request = get(bad_urls[i]);
		int r = perform(&f, &request, &response, &e);
		if (r != -EINVAL && r != -EHOSTUNREACH)
			fail_msg("'%s' gave %d: %s", bad_urls[i], r, e.text);
		assert_null(strstr(e.text, "secret"));
	}
	assert_int_equal(http_script_requests(f.server), 0);
	end(&f);
}

/* --- answers -------------------------------------------------------------------------
 */

/* Says what arg says, and holds the connection. */
static bool say_and_hold(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	script_say(c, "%s", (const char *)arg);
	return script_hold(c);
}

static bool say_and_close(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	script_say(c, "%s", (const char *)arg);
	return false;
}

/* Performs a GET into an 8-byte sink between guards. */
static int get_8(struct fixture *f, struct http_response *ret, char sink[static 10])
{
	struct http_request request = get(http_script_url(f->server, "/key"));
	memcpy(sink, "..........", 10);
	request.sink = sink + 1;
	request.sink_len = 8;
	int r = perform(f, &request, ret, NULL);
	assert_true(sink[0] == '.' && sink[9] == '.');
	return r;
}

static void a_range_goes_into_the_sink(void **state)
{
	struct fixture f;
	struct http_response response;
	char sink[10];
	begin(&f, say_and_hold,
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-7/99\r\n"
		"Content-Length: 8\r\n\r\nABCDEFGH");
	assert_int_equal(get_8(&f, &response, sink), 0);
	assert_memory_equal(sink, ".ABCDEFGH.", 10);
	assert_int_equal(response.status, 206);
	assert_true(response.fields.content_range.total == 99);
	assert_true(response.received == 8);
	assert_int_equal(response.body.len, 0);
	http_response_finish(&response);
	end(&f);
}

static void a_short_answer_is_reported_as_short(void **state)
{
	struct fixture f;
	struct http_response response;
	char sink[10];
	begin(&f, say_and_hold, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nABC");
	assert_int_equal(get_8(&f, &response, sink), 0);
	assert_memory_equal(sink, ".ABC......", 10);
	assert_true(response.received == 3);
	http_response_finish(&response);
	end(&f);
}

static void a_body_announced_as_too_long_is_not_waited_for(void **state)
{
	struct fixture f;
	struct http_response response;
	char sink[10];
	begin(&f, say_and_hold,
		"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\nAB");
	assert_int_equal(get_8(&f, &response, sink), 0);
	assert_int_equal(response.status, 200);
	assert_true(response.received == UINT64_C(1099511627776));
	http_response_finish(&response);
	end(&f);
}

static void a_body_that_turns_out_too_long_is_cut_off(void **state)
{
	struct fixture f;
	struct http_response response;
	char sink[10];
	begin(&f, say_and_hold,
		"HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n"
		"8\r\nABCDEFGH\r\n1\r\nI\r\n");
	assert_int_equal(get_8(&f, &response, sink), 0);
	assert_true(response.received == 9);
	assert_memory_equal(sink, ".ABCDEFGH.", 10);
	http_response_finish(&response);
	end(&f);
}

static void an_error_does_not_go_into_the_sink(void **state)
{
	struct fixture f;
	struct http_response response;
	char sink[10];
	begin(&f, say_and_hold,
		"HTTP/1.1 412 Precondition Failed\r\nContent-Length: "
		"12\r\n\r\n<Error>....>");
	assert_int_equal(get_8(&f, &response, sink), 0);
	assert_int_equal(response.status, 412);
	assert_string_equal(buf_str(&response.body), "<Error>....>");
	assert_memory_equal(sink, "..........", 10);
	http_response_finish(&response);
	end(&f);
}

static bool answer_big(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	char *body = pattern_new(100000);
	script_answer(c, arg, "", body, 100000);
	free(body);
	return true;
}

static void the_beginning_of_a_long_error_is_kept(void **state)
{
	struct fixture f;
	struct http_response response;
	begin(&f, answer_big, "404 Not Found");
	struct http_request request = get(http_script_url(f.server, "/"));
	request.body_max = 10;
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_int_equal(response.status, 404);
	assert_int_equal(response.body.len, HTTP_ERROR_BODY_MAX);
	assert_true(response.received > HTTP_ERROR_BODY_MAX);
	http_response_finish(&response);
	end(&f);
}

static void a_body_within_body_max_is_collected(void **state)
{
	struct fixture f;
	struct http_response response;
	CLEANUP(cleanup_free) char *expected = pattern_new(100000);
	begin(&f, answer_big, "200 OK");
	struct http_request request = get(http_script_url(f.server, "/"));
	request.body_max = 100000;
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_int_equal(response.body.len, 100000);
	assert_memory_equal(response.body.data, expected, 100000);
	http_response_finish(&response);
	end(&f);
}

static void a_body_past_body_max_is_refused(void **state)
{
	struct fixture f;
	struct http_request request = get(NULL);
	request.body_max = 99999;
	begin(&f, answer_big, "200 OK");
	assert_int_equal(failure(&f, &request), -EMSGSIZE);
	end(&f);
	begin(&f, say_and_hold, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
	assert_int_equal(failure(&f, &request), -EMSGSIZE);
	end(&f);
	request.body_max = 3;
	begin(&f, say_and_hold,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nABCD\r\n");
	assert_int_equal(failure(&f, &request), -EMSGSIZE);
	end(&f);
}

static void head_has_a_length_and_no_body(void **state)
{
	struct fixture f;
	struct http_response response;
	begin(&f, say_and_hold,
		"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n");
	struct http_request request = get(http_script_url(f.server, "/"));
	request.method = "HEAD";
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_true(response.fields.content_length == UINT64_C(1099511627776));
	assert_true(response.received == 0);
	http_response_finish(&response);
	end(&f);
}

static void redirects_are_not_followed(void **state)
{
	struct fixture f;
	struct http_response response;
	begin(&f, say_and_hold,
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: "
		"0\r\n\r\n");
	struct http_request request = get(http_script_url(f.server, "/"));
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_int_equal(response.status, 307);
	assert_string_equal(response.fields.location, "/x");
	assert_int_equal(http_script_requests(f.server), 1);
	http_response_finish(&response);
	end(&f);
}

/* Fields of interim answers and of trailers say nothing of the answer itself. */
static void only_the_final_header_counts(void **state)
{
	struct fixture f;
	struct http_response response;
	begin(&f, say_and_hold,
		"HTTP/1.1 103 Early Hints\r\nETag: \"early\"\r\nx-amz-version-id: "
		"1\r\n\r\n"
		"HTTP/1.1 200 OK\r\nETag: \"final\"\r\nTransfer-Encoding: chunked\r\n\r\n"
		"2\r\nok\r\n0\r\nETag: \"late\"\r\n\r\n");
	struct http_request request = get(http_script_url(f.server, "/"));
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_int_equal(response.status, 200);
	assert_string_equal(response.fields.etag, "\"final\"");
	assert_string_equal(response.fields.version_id, "");
	assert_false(response.fields.malformed);
	assert_string_equal(buf_str(&response.body), "ok");
	http_response_finish(&response);
	end(&f);
}

/* --- breakage ------------------------------------------------------------------------
 */

static void a_body_cut_short_is_a_reset(void **state)
{
	static const char *const cut[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nABC",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nABC",
		"HTTP/1.1 200 OK\r\nContent-Le",
		"",
	};
	for (size_t i = 0; i < 4; i++) {
		struct fixture f;
		begin(&f, say_and_close, cut[i]);
		assert_int_equal(failure(&f, NULL), -ECONNRESET);
		end(&f);
	}
}

static bool reset(struct script_connection *c, const struct script_request *rq, void *arg)
{
	return script_reset(c);
}

static void a_reset_is_a_reset(void **state)
{
	struct fixture f;
	begin(&f, reset, NULL);
	assert_int_equal(failure(&f, NULL), -ECONNRESET);
	end(&f);
}

static void what_is_not_http_is_refused(void **state)
{
	struct fixture f;
	begin(&f, say_and_close, "220 mail.example ESMTP\r\n");
	assert_int_equal(failure(&f, NULL), -EPROTO);
	end(&f);
}

static bool endless_header(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	script_say(c, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 10000; i++)
		if (!script_say(c, "x-%d: %0100d\r\n", i, i))
			return false;
	return script_hold(c);
}

static void a_header_without_end_is_refused(void **state)
{
	struct fixture f;
	begin(&f, endless_header, NULL);
	assert_int_equal(failure(&f, NULL), -EPROTO);
	end(&f);
}

static void a_silent_server_is_a_stall(void **state)
{
	static const char *const words[] = {
		"",
		"HTTP/1.1 200 OK\r\nETag: ",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nABC",
	};
	struct http_request request = get(NULL);
	request.stall_timeout_ns = BRIEF;
	for (size_t i = 0; i < 4; i++) {
		struct fixture f;
		begin(&f, say_and_hold, words[i]);
		assert_int_equal(failure(&f, &request), -ETIME);
		http_script_wait_closed(
			f.server, 1); /* the stalled connection is not kept */
		end(&f);
	}
}

static void a_handshake_that_hangs_is_a_time_out(void **state)
{
	struct fixture f;
	struct http_response response;
	char url[128];
	begin(&f, say_and_hold, "");
	snprintf(url, sizeof(url), "https%s/key", http_script_origin(f.server) + 4);
	struct http_request request = get(url);
	request.connect_timeout_ns = BRIEF;
	assert_int_equal(perform(&f, &request, &response, NULL), -ETIME);
	end(&f);
}

/* Waits for the first bytes of a handshake, which the script takes for a request. */
static bool speak_http(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	return script_answer(c, "400 Bad Request", "", "", 0);
}

static void tls_with_a_plain_server_is_nonsense(void **state)
{
	struct fixture f;
	struct http_response response;
	char url[128];
	begin(&f, speak_http, NULL);
	snprintf(url, sizeof(url), "https%s/", http_script_origin(f.server) + 4);
	struct http_request request = get(url);
	request.connect_timeout_ns = BRIEF;
	int r = perform(&f, &request, &response, NULL);
	assert_true(r == -EPROTO || r == -ETIME);
	end(&f);
}

/* A socket that is bound and does not listen refuses, and keeps its port from others. */
static void a_refused_connection_is_told(void **state)
{
	struct fixture f;
	struct http_response response;
	struct error e = {0};
	char url[64];
	struct sockaddr_in address = {.sin_family = AF_INET};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t len = sizeof(address);
	CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	snprintf(
		url, sizeof(url), "http://127.0.0.1:%u/?secret", ntohs(address.sin_port));
	begin(&f, echo_head, NULL);
	struct http_request request = get(url);
	assert_int_equal(perform(&f, &request, &response, &e), -ECONNREFUSED);
	assert_non_null(strstr(e.text, "http://127.0.0.1:"));
	assert_null(strstr(e.text, "secret"));
	end(&f);
}

/* The server closes an idle connection just as it is used again: libcurl sends the
 * request once more, and the body from its beginning. */
static bool close_after_first(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	if (rq->number == 1)
		return script_answer(c, "200 OK", "", "", 0);
	return rq->number == 2 ? false : keep_upload(c, rq, arg);
}

static void a_body_is_sent_again_on_a_dead_connection(void **state)
{
	struct fixture f;
	struct upload u = {0};
	struct http_response response;
	CLEANUP(cleanup_free) char *data = pattern_new(BIG);
	begin(&f, close_after_first, &u);
	struct http_request request = get(http_script_url(f.server, "/"));
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	http_response_finish(&response);
	request.method = "PUT";
	request.body = data;
	request.body_len = BIG;
	check_upload(&f, &u, &request, data);
	assert_int_equal(http_script_requests(f.server), 3);
	free(u.body);
	end(&f);
}

/* --- proxies -------------------------------------------------------------------------
 */

static bool echo_target(
	struct script_connection *c, const struct script_request *rq, void *arg)
{
	return script_answer(c, "200 OK", "", rq->target, strlen(rq->target));
}

static void a_proxy_is_taken_from_the_environment_unless_unwanted(void **state)
{
	struct fixture f;
	struct http_response response;
	begin(&f, echo_target, NULL);
	struct transfer_options options = {.concurrency = 1};
	struct transfer *direct = f.transfer;
	unsetenv("NO_PROXY");
	unsetenv("no_proxy");
	setenv("http_proxy", http_script_origin(f.server), 1);
	assert_int_equal(transfer_new(&options, &f.transfer, NULL), 0);
	struct http_request request = get("http://store.invalid/key");
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_string_equal(buf_str(&response.body), "http://store.invalid/key");
	http_response_finish(&response);
	transfer_free(f.transfer);
	f.transfer = direct;
	request.url = http_script_url(f.server, "/key");
	assert_int_equal(perform(&f, &request, &response, NULL), 0);
	assert_string_equal(buf_str(&response.body), "/key");
	http_response_finish(&response);
	unsetenv("http_proxy");
	end(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_was_asked_for_is_sent),
		cmocka_unit_test(an_own_accept_is_sent),
		cmocka_unit_test(connections_are_used_again_unless_a_fresh_one_is_wanted),
		cmocka_unit_test(bodies_are_sent_from_memory_and_from_files),
		cmocka_unit_test(a_file_that_is_too_short_is_not_sent),
		cmocka_unit_test(nonsense_is_not_sent),
		cmocka_unit_test(a_range_goes_into_the_sink),
		cmocka_unit_test(a_short_answer_is_reported_as_short),
		cmocka_unit_test(a_body_announced_as_too_long_is_not_waited_for),
		cmocka_unit_test(a_body_that_turns_out_too_long_is_cut_off),
		cmocka_unit_test(an_error_does_not_go_into_the_sink),
		cmocka_unit_test(the_beginning_of_a_long_error_is_kept),
		cmocka_unit_test(a_body_within_body_max_is_collected),
		cmocka_unit_test(a_body_past_body_max_is_refused),
		cmocka_unit_test(head_has_a_length_and_no_body),
		cmocka_unit_test(redirects_are_not_followed),
		cmocka_unit_test(only_the_final_header_counts),
		cmocka_unit_test(a_body_cut_short_is_a_reset),
		cmocka_unit_test(a_reset_is_a_reset),
		cmocka_unit_test(what_is_not_http_is_refused),
		cmocka_unit_test(a_header_without_end_is_refused),
		cmocka_unit_test(a_silent_server_is_a_stall),
		cmocka_unit_test(a_handshake_that_hangs_is_a_time_out),
		cmocka_unit_test(tls_with_a_plain_server_is_nonsense),
		cmocka_unit_test(a_refused_connection_is_told),
		cmocka_unit_test(a_body_is_sent_again_on_a_dead_connection),
		cmocka_unit_test(a_proxy_is_taken_from_the_environment_unless_unwanted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
