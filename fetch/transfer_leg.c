#include "fetch/transfer_leg.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fetch/origin.h"
#include "fetch/transfer_error.h"

/* Measured on loopback, ranges of 1 MB on 16 connections: 16 KiB 2.0 GB/s, 64 KiB 2.9,
 * 256 KiB 3.5, 512 KiB no more. */
#define RECEIVE_BUFFER (256l << 10)
#define SEND_BUFFER    (256l << 10)
#define KEEPALIVE_S    30l
#define NAME_KEPT_S    60l

/* --- callbacks: 0 from those that move bytes ends the transfer ------------------- */

static size_t fail(struct transfer_leg *leg, int code, const char *what)
{
	char shown[URL_DISPLAY_SIZE];
	url_display(leg->task->url, shown);
	error_set(&leg->failure, code, "'%s' %s", shown, what);
	return 0;
}

static size_t give_up(struct transfer_leg *leg)
{
	leg->lost = true;
	return 0;
}

/* Cuts the body off: what has come is all that is wanted. */
static size_t cut_off(struct transfer_leg *leg, uint64_t at_least)
{
	leg->enough = true;
	if (leg->response.received < at_least)
		leg->response.received = at_least;
	return 0;
}

static bool is_success(const struct transfer_leg *leg)
{
	return leg->response.status >= 200 && leg->response.status < 300;
}

/* A server in trouble must not win against one that may yet answer; unless that one has
 * given up for the same reason. */
static bool win(struct transfer_leg *leg)
{
	if (!leg->rival || leg->rival->lost)
		return true;
	if (leg->response.status >= 500 || leg->response.status == 429)
		return give_up(leg);
	leg->rival->lost = true;
	leg->response.hedge_won = leg->is_hedge;
	return true;
}

/* Judges by the announced length, so that a wrong answer is not read to its end. */
static bool body_is_bearable(struct transfer_leg *leg)
{
	const struct transfer_task *task = leg->task;
	const struct http_fields *fields = &leg->response.fields;
	if (!fields->has_content_length || !strcmp(task->method, "HEAD"))
		return true;
	if (leg->into_sink && fields->content_length > task->sink_len)
		return cut_off(leg, fields->content_length);
	if (!leg->into_sink && is_success(leg) && fields->content_length > task->body_max)
		return fail(leg, -EMSGSIZE, "answers with more than is wanted");
	return true;
}

static bool end_header(struct transfer_leg *leg)
{
	long status = 0;
	leg->in_header = false;
	curl_easy_getinfo(leg->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return true; /* interim */
	leg->response.status = (int)status;
	leg->response.first_byte_ns = clock_monotonic_ns() - leg->began_ns;
	leg->into_sink = leg->task->has_sink && (status == 200 || status == 206);
	return win(leg) && body_is_bearable(leg);
}

static void begin_header(struct transfer_leg *leg, const char *line, size_t len)
{
	if (len < 5 || memcmp(line, "HTTP/", 5) != 0)
		return; /* a trailer: it says nothing about which bytes these were */
	leg->in_header = true;
	http_fields_init(&leg->response.fields);
}

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
	struct transfer_leg *leg = arg;
	stall_count(&leg->stall, len);
	leg->header_bytes += len;
	if (leg->lost)
		return 0;
	if (leg->header_bytes > HTTP_HEADER_BYTES_MAX)
		return fail(leg, -EPROTO, "sends a header without end");
	size_t bare = len;
	while (bare && (line[bare - 1] == '\n' || line[bare - 1] == '\r'))
		bare--;
	if (!leg->in_header)
		begin_header(leg, line, len);
	else if (!bare)
		return end_header(leg) ? len : 0;
	else
		http_fields_add(&leg->response.fields, line, bare);
	return len;
}

static size_t fill_sink(struct transfer_leg *leg, const char *data, size_t len)
{
	if (len > leg->task->sink_len - leg->stored)
		return cut_off(leg, 0);
	if (!task_fill(leg->task, leg->stored, data, len))
		return give_up(leg);
	leg->stored += len;
	return len;
}

static size_t collect(struct transfer_leg *leg, const char *data, size_t len)
{
	struct buf *body = &leg->response.body;
	size_t room = body->max - body->len;
	int r = buf_append(body, data, len < room ? len : room);
	if (r < 0)
		return fail(leg, r, "answers with more than memory holds");
	if (len <= room)
		return len;
	if (is_success(leg))
		return fail(leg, -EMSGSIZE, "answers with more than is wanted");
	return cut_off(leg, 0);
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
	struct transfer_leg *leg = arg;
	stall_count(&leg->stall, len);
	if (leg->lost)
		return 0;
	leg->response.received += len;
	if (leg->into_sink)
		return fill_sink(leg, data, len);
	leg->response.body.max =
		is_success(leg) ? leg->task->body_max : HTTP_ERROR_BODY_MAX;
	return collect(leg, data, len);
}

static size_t on_send(char *data, size_t one, size_t room, void *arg)
{
	struct transfer_leg *leg = arg;
	uint64_t left = leg->task->body_len - leg->sent;
	size_t len = left < room ? (size_t)left : room;
	if (!len)
		return 0;
	int r = task_read(leg->task, leg->sent, data, len);
	if (r == -ECANCELED)
		give_up(leg);
	else if (r < 0)
		fail(leg, r, "cannot be sent a file that became shorter or unreadable");
	if (r < 0)
		return CURL_READFUNC_ABORT;
	leg->sent += len;
	stall_count(&leg->stall, len);
	return len;
}

static int on_rewind(void *arg, curl_off_t offset, int origin)
{
	struct transfer_leg *leg = arg;
	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_CANTSEEK;
	leg->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static curl_socket_t on_open(
	void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer_leg *leg = arg;
	int fd = warm_pool_open(leg->warm, leg->task->url, address, clock_monotonic_ns());
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_opened(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct transfer_leg *leg = arg;
	return warm_pool_is_connected(leg->warm, fd) ? CURL_SOCKOPT_ALREADY_CONNECTED
						     : CURL_SOCKOPT_OK;
}

/* Connections outlive legs, so this one is handed the pool. */
static int on_close(void *arg, curl_socket_t fd)
{
	warm_pool_close(arg, fd);
	return 0;
}

/* --- the handle ------------------------------------------------------------------ */

#define SET(option, value) failed |= curl_easy_setopt(easy, CURLOPT_##option, value)

static bool set_callbacks(struct transfer_leg *leg)
{
	CURL *easy = leg->easy;
	int failed = 0;
	SET(PRIVATE, leg);
	SET(ERRORBUFFER, leg->curl_words);
	SET(HEADERFUNCTION, on_header);
	SET(HEADERDATA, leg);
	SET(WRITEFUNCTION, on_body);
	SET(WRITEDATA, leg);
	SET(READFUNCTION, on_send);
	SET(READDATA, leg);
	SET(SEEKFUNCTION, on_rewind);
	SET(SEEKDATA, leg);
	SET(OPENSOCKETFUNCTION, on_open);
	SET(OPENSOCKETDATA, leg);
	SET(SOCKOPTFUNCTION, on_opened);
	SET(SOCKOPTDATA, leg);
	SET(CLOSESOCKETFUNCTION, on_close);
	SET(CLOSESOCKETDATA, leg->warm);
	return !failed;
}

/* CAPATH: else the system's directory is trusted besides. CA_CACHE_TIMEOUT: else a file
 * that is renewed counts for nothing until the next day. They fail only where the TLS
 * library knows no directory, or keeps nothing. */
static bool trust_only(CURL *easy, const char *bundle)
{
	int failed = 0;
	SET(CAINFO, bundle);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0l);
	return !failed;
}

/* QUICK_EXIT: a resolver thread that gets no answer is left behind instead of being
 * waited for when its handle is removed. */
static bool set_behaviour(struct transfer_leg *leg, const struct leg_options *o)
{
	CURL *easy = leg->easy;
	int failed = 0;
	SET(NOSIGNAL, 1l);
	SET(QUICK_EXIT, 1l);
	SET(PATH_AS_IS, 1l);
	SET(FOLLOWLOCATION, 0l);
	SET(PROTOCOLS_STR, "http,https");
	SET(DISALLOW_USERNAME_IN_URL, 1l);
	SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(HTTP_CONTENT_DECODING, 0l);
	SET(SUPPRESS_CONNECT_HEADERS, 1l);
	SET(USERAGENT, "larder/" LARDER_VERSION);
	SET(BUFFERSIZE, RECEIVE_BUFFER);
	SET(UPLOAD_BUFFERSIZE, SEND_BUFFER);
	SET(TCP_NODELAY, 1l);
	SET(TCP_KEEPALIVE, 1l);
	SET(TCP_KEEPIDLE, KEEPALIVE_S);
	SET(TCP_KEEPINTVL, KEEPALIVE_S / 3);
	SET(SHARE, o->share);
	if (o->ca_bundle)
		failed |= !trust_only(easy, o->ca_bundle);
	if (o->no_proxy)
		SET(PROXY, "");
	return !failed;
}

struct transfer_leg *leg_new(const struct leg_options *o)
{
	struct transfer_leg *leg = calloc(1, sizeof(*leg));
	if (!leg)
		return NULL;
	leg->warm = o->warm;
	leg->easy = curl_easy_init();
	if (leg->easy && set_callbacks(leg) && set_behaviour(leg, o))
		return leg;
	leg_free(leg);
	return NULL;
}

void leg_free(struct transfer_leg *leg)
{
	if (!leg)
		return;
	leg_reset(leg);
	curl_easy_cleanup(leg->easy);
	free(leg);
}

static long milliseconds(uint64_t ns)
{
	uint64_t ms = ns / NS_PER_MS;
	return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (long)ms;
}

/* A method is set by the option whose behaviour it needs, then named. */
static int set_method(CURL *easy, const struct transfer_task *task)
{
	int failed = 0;
	SET(CUSTOMREQUEST, NULL);
	SET(UPLOAD, 0l);
	SET(HTTPGET, 1l);
	SET(INFILESIZE_LARGE, (curl_off_t)-1);
	if (!strcmp(task->method, "HEAD")) {
		SET(NOBODY, 1l);
	} else if (task_is_upload(task)) {
		SET(UPLOAD, 1l);
		SET(INFILESIZE_LARGE, (curl_off_t)task->body_len);
		SET(CUSTOMREQUEST, task->method);
	} else if (strcmp(task->method, "GET") != 0) {
		SET(CUSTOMREQUEST, task->method);
	}
	return failed;
}

static int set_task(
	CURL *easy, const struct transfer_task *task, uint64_t connect_timeout_ns)
{
	int failed = set_method(easy, task);
	SET(URL, task->url);
	SET(HTTPHEADER, task->headers);
	SET(FRESH_CONNECT, task->fresh_connection ? 1l : 0l);
	SET(DNS_CACHE_TIMEOUT, task->fresh_connection ? 0l : NAME_KEPT_S);
	SET(CONNECTTIMEOUT_MS, milliseconds(connect_timeout_ns));
	return failed ? -ENOMEM : 0;
}

int leg_begin(struct transfer_leg *leg, const struct leg_options *o,
	struct transfer_task *task, struct transfer_leg *rival, uint64_t now_ns)
{
	uint64_t window =
		task->stall_timeout_ns ? task->stall_timeout_ns : o->stall_timeout_ns;
	leg->task = task_ref(task);
	leg->is_hedge = rival != NULL;
	leg->began_ns = rival ? rival->began_ns : now_ns;
	stall_init(&leg->stall, now_ns, window);
	int r = set_task(leg->easy, task,
		task->connect_timeout_ns ? task->connect_timeout_ns
					 : o->connect_timeout_ns);
	if (r < 0 || !rival)
		return r;
	leg->rival = rival;
	rival->rival = leg;
	rival->response.hedged = leg->response.hedged = true;
	return 0;
}

/* Where a rival still runs, its answer is waited for instead. */
static bool leave_it_to_rival(const struct transfer_leg *leg)
{
	return leg->lost || (leg->rival && !leg->rival->lost);
}

static void finish_well(struct transfer_leg *leg, uint64_t now_ns)
{
	curl_off_t connect_us = 0;
	curl_easy_getinfo(leg->easy, CURLINFO_PRETRANSFER_TIME_T, &connect_us);
	leg->response.connect_ns = (uint64_t)connect_us * 1000;
	leg->response.total_ns = now_ns - leg->began_ns;
	task_complete(leg->task, 0, &leg->response, NULL);
	leg->response = (struct http_response){0};
}

static void finish_badly(struct transfer_leg *leg, CURLcode code)
{
	long os_error = 0;
	if (leg->failure.code == 0 && code == CURLE_OK) {
		fail(leg, -ECONNRESET, "hung up in the middle of its header");
	} else if (leg->failure.code == 0) {
		curl_easy_getinfo(leg->easy, CURLINFO_OS_ERRNO, &os_error);
		transfer_error(
			code, os_error, leg->curl_words, leg->task->url, &leg->failure);
	}
	task_complete(leg->task, leg->failure.code, NULL, &leg->failure);
}

void leg_finish(struct transfer_leg *leg, CURLcode code, uint64_t now_ns)
{
	bool whole = leg->enough || (code == CURLE_OK && leg->response.status);
	if (leg->lost)
		return;
	if (whole && leg->failure.code == 0)
		finish_well(leg, now_ns);
	else if (!leave_it_to_rival(leg))
		finish_badly(leg, code);
}

/* What the kernel still holds of the body to send goes out without a callback; on a slow
 * line that takes longer than a stall may. */
static void count_drained(struct transfer_leg *leg)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	int left;
	if (!leg->sent ||
		curl_easy_getinfo(leg->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
		fd == CURL_SOCKET_BAD || ioctl(fd, SIOCOUTQ, &left) < 0)
		return;
	if (left < leg->unsent)
		stall_count(&leg->stall, (size_t)(leg->unsent - left));
	leg->unsent = left;
}

bool leg_is_stalled(struct transfer_leg *leg, uint64_t now_ns)
{
	if (now_ns < stall_next(&leg->stall))
		return false;
	count_drained(leg);
	return stall_check(&leg->stall, now_ns);
}

void leg_finish_stalled(struct transfer_leg *leg)
{
	fail(leg, -ETIME, "does not answer, or sends less than 1 KB/s");
	leg_finish(leg, CURLE_OPERATION_TIMEDOUT, 0);
}

void leg_reset(struct transfer_leg *leg)
{
	CURL *easy = leg->easy;
	struct warm_pool *warm = leg->warm;
	if (leg->rival)
		leg->rival->rival = NULL;
	http_response_finish(&leg->response);
	task_unref(&leg->task);
	*leg = (struct transfer_leg){.easy = easy, .warm = warm};
}
