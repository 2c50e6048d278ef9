#include "fetch/transfer_task.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#include "fetch/base/io.h"
#include "fetch/base/lock.h"
#include "fetch/origin.h"

static void free_headers(struct curl_slist *headers)
{
	for (struct curl_slist *h = headers; h; h = h->next)
		OPENSSL_cleanse(h->data, strlen(h->data));
	curl_slist_free_all(headers);
}

static int add_header(struct transfer_task *task, const char *line)
{
	struct curl_slist *longer = curl_slist_append(task->headers, line);
	if (!longer)
		return -ENOMEM;
	task->headers = longer;
	return 0;
}

/* curl takes "Name:" for "do not send it" and "Name;" for an empty field. */
static int add_empty_header(struct transfer_task *task, const char *line, size_t name_len)
{
	char *marked = strndup(line, name_len + 1);
	if (!marked)
		return -ENOMEM;
	marked[name_len] = ';';
	int r = add_header(task, marked);
	free(marked);
	return r;
}

static int copy_header(struct transfer_task *task, const char *line, struct error *e)
{
	size_t name_len = strcspn(line, ":");
	if (!name_len || !line[name_len] || strpbrk(line, "\r\n"))
		return error_set(e, -EINVAL, "header field '%.*s' is not well-formed",
			(int)name_len, line);
	if (!line[name_len + 1 + strspn(line + name_len + 1, " \t")])
		return add_empty_header(task, line, name_len);
	return add_header(task, line);
}

static bool names_field(const char *line, const char *name)
{
	size_t len = strlen(name);
	return !strncasecmp(line, name, len) && line[len] == ':';
}

static int copy_headers(
	struct transfer_task *task, const char *const *lines, struct error *e)
{
	bool wants_accept = false;
	int r = add_header(task, "Expect:");
	for (; r == 0 && lines && *lines; lines++) {
		wants_accept |= names_field(*lines, "Accept");
		r = copy_header(task, *lines, e);
	}
	if (r == 0 && !wants_accept)
		r = add_header(task, "Accept:");
	return r;
}

/* The caller may close its file as soon as it has given up, and the number may then name
 * another one. */
static int copy_body_fd(struct transfer_task *task, const struct http_request *request)
{
	if (request->body || request->body_fd < 0 || !request->body_len)
		return 0;
	task->body_fd = fcntl(request->body_fd, F_DUPFD_CLOEXEC, 0);
	return task->body_fd < 0 ? -errno : 0;
}

static int check_scheme(const char *url, struct error *e)
{
	if (!strncmp(url, "http://", 7) || !strncmp(url, "https://", 8))
		return 0;
	char shown[URL_DISPLAY_SIZE];
	url_display(url, shown);
	return error_set(e, -EINVAL, "'%s' is not an HTTP URL", shown);
}

static int copy_request(
	struct transfer_task *task, const struct http_request *request, struct error *e)
{
	int r = check_scheme(request->url, e);
	if (r < 0)
		return r;
	task->url = strdup(request->url);
	task->method = strdup(request->method);
	if (!task->url || !task->method)
		return -ENOMEM;
	task->body_offset = request->body_offset;
	task->body_len = request->body_len;
	task->body = request->body;
	task->has_sink = request->sink;
	task->sink = request->sink;
	task->hedged = request->hedged;
	task->sink_len = request->sink_len;
	task->body_max = request->body_max ? request->body_max : HTTP_ERROR_BODY_MAX;
	task->fresh_connection = request->fresh_connection;
	task->connect_timeout_ns = request->connect_timeout_ns;
	task->stall_timeout_ns = request->stall_timeout_ns;
	if (!strcmp(request->method, "GET"))
		task->hedge_after_ns = request->hedge_after_ns;
	r = copy_body_fd(task, request);
	return r < 0 ? error_set_errno(e, r, "cannot keep the file to send open")
		     : copy_headers(task, request->headers, e);
}

static void task_free(struct transfer_task *task)
{
	free(task->url);
	free(task->method);
	free_headers(task->headers);
	cleanup_close(&task->body_fd);
	http_response_finish(&task->response);
	pthread_cond_destroy(&task->changed);
	pthread_mutex_destroy(&task->lock);
	free(task);
}

struct transfer_task *task_ref(struct transfer_task *task)
{
	atomic_fetch_add(&task->references, 1);
	return task;
}

void task_unref(struct transfer_task **task)
{
	if (*task && atomic_fetch_sub(&(*task)->references, 1) == 1)
		task_free(*task);
	*task = NULL;
}

int task_new(const struct http_request *request, const struct call *call,
	struct transfer_task **ret, struct error *e)
{
	struct transfer_task *task = calloc(1, sizeof(*task));
	if (!task)
		return -ENOMEM;
	int r = condition_init(&task->changed);
	if (r < 0) {
		free(task);
		return r;
	}
	pthread_mutex_init(&task->lock, NULL);
	task->references = 1;
	task->body_fd = -1;
	task->priority = call->priority;
	r = copy_request(task, request, e);
	if (r < 0)
		task_unref(&task);
	else
		*ret = task;
	return r;
}

static int await(struct transfer_task *task, const struct call *call, bool leisurely)
{
	int r = 0;
	call_attach(call, &task->lock, &task->changed);
	pthread_mutex_lock(&task->lock);
	while (!task->done && r == 0)
		r = leisurely && call_is_hurried(call)
			    ? -EAGAIN
			    : call_wait(call, &task->lock, &task->changed);
	task->gone = task->done || r != -EAGAIN;
	r = task->done ? 0 : r;
	pthread_mutex_unlock(&task->lock);
	call_detach(call);
	return r;
}

static int gave_up(const struct transfer_task *task, int r, struct error *e)
{
	char shown[URL_DISPLAY_SIZE];
	url_display(task->url, shown);
	return error_set(e, r,
		r == -ETIMEDOUT ? "no answer from '%s' before the deadline"
				: "the wait for '%s' was ended",
		shown);
}

int task_wait(struct transfer_task *task, const struct call *call, bool leisurely,
	struct http_response *ret, struct error *e)
{
	int r = await(task, call, leisurely);
	if (r == -EAGAIN)
		return r;
	if (r < 0)
		return gave_up(task, r, e);
	/* Done and gone: nobody else touches it any more. */
	if (task->result < 0) {
		error_copy(e, &task->error);
		return task->result;
	}
	*ret = task->response;
	task->response.body = BUF_INIT(0);
	return 0;
}

bool task_is_gone(struct transfer_task *task)
{
	LOCK_SCOPE(&task->lock);
	return task->gone;
}

bool task_is_upload(const struct transfer_task *task)
{
	return task->body_len > 0 || !strcmp(task->method, "PUT") ||
	       !strcmp(task->method, "POST");
}

bool task_fill(struct transfer_task *task, size_t offset, const void *data, size_t len)
{
	LOCK_SCOPE(&task->lock);
	if (task->gone)
		return false;
	memcpy((char *)task->sink + offset, data, len);
	return true;
}

int task_read(struct transfer_task *task, uint64_t offset, void *buf, size_t len)
{
	if (task->body_fd >= 0) {
		int r = pread_exactly(
			task->body_fd, buf, len, task->body_offset + offset);
		return r < 0 ? -EIO : 0;
	}
	LOCK_SCOPE(&task->lock);
	if (task->gone)
		return -ECANCELED;
	memcpy(buf, (const char *)task->body + offset, len);
	return 0;
}

void task_tell_hedged(struct transfer_task *task)
{
	LOCK_SCOPE(&task->lock);
	if (task->hedged && !task->gone)
		*task->hedged = true;
}

void task_complete(struct transfer_task *task, int result, struct http_response *response,
	const struct error *e)
{
	LOCK_SCOPE(&task->lock);
	task->done = true;
	task->result = result;
	if (response)
		task->response = *response;
	error_copy(&task->error, e);
	pthread_cond_broadcast(&task->changed);
}

void http_response_finish(struct http_response *r)
{
	buf_finish(&r->body);
}
