#include "fetch/s3_multipart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/exchange.h"
#include "fetch/s3_xml.h"
#include "fetch/sigv4.h"

#define FIELD_SIZE    128
#define QUERY_MAX     (4 * UPLOAD_ID_SIZE)
#define PARTS_XML_MAX (16u << 20)
/* S3 may put thousands of parts together before it says more than blanks. */
#define COMPLETE_STALL_NS (UINT64_C(300) * NS_PER_SECOND)
/* An upload whose id nobody was told cannot be aborted. */
#define CREATE_GRACE_NS (2 * NS_PER_SECOND)

static int perform(const struct http_target *t, const struct call *call,
	const struct exchange_request *request, struct http_response *ret,
	struct error *e)
{
	int r = exchange_perform(t->exchanger, call, request, ret, NULL, e);
	if (r < 0)
		error_prefix(e, "cannot upload '%s' to '%s': ", t->key, t->store);
	return r;
}

static int refuse_body(const struct http_target *t, const char *request, struct error *e)
{
	return error_set(e, -EIO, "'%s' answered %s for '%s' with nonsense", t->store,
		request, t->key);
}

/* --- create ------------------------------------------------------------------------ */

static int keep_upload_id(struct s3_multipart *m, const char *id)
{
	CLEANUP(buf_finish) struct buf query = BUF_INIT(QUERY_MAX);
	int r = buf_append_str(&query, "uploadId=");
	if (r == 0)
		r = uri_encode(&query, id, strlen(id), false);
	if (r == 0)
		m->upload_query = buf_steal(&query);
	return r;
}

int s3_multipart_create(const struct http_target *t, const struct call *call,
	const char *nonce, struct s3_multipart *ret, struct error *e)
{
	char field[FIELD_SIZE];
	snprintf(field, sizeof(field), "x-amz-meta-larder-nonce: %s", nonce);
	const char *const headers[] = {
		"content-type: application/octet-stream", field, NULL};
	const struct exchange_request request = {
		.method = "POST",
		.path = t->path,
		.query = "uploads=",
		.headers = headers,
		.body_fd = -1,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	char id[UPLOAD_ID_SIZE];
	struct call patient = *call;
	patient.grace_ns = CREATE_GRACE_NS;
	int r = call_check(call);
	if (r < 0)
		return error_set_errno(
			e, r, "cannot upload '%s' to '%s'", t->key, t->store);
	r = perform(t, &patient, &request, &response, e);
	if (r < 0)
		return r;
	if (response.status != 200)
		return http_answer_write_refusal(t, &response, e);
	struct s3_multipart m = {.target = t};
	r = s3_xml_upload_id(response.body.data, response.body.len, id);
	if (r == -EBADMSG)
		return refuse_body(t, "CreateMultipartUpload", e);
	if (r == 0)
		r = keep_upload_id(&m, id);
	if (r < 0)
		return error_set_errno(e, r, "cannot upload '%s'", t->key);
	*ret = m;
	return 0;
}

void s3_multipart_finish(struct s3_multipart *m)
{
	free(m->upload_query);
	m->upload_query = NULL;
}

/* --- part -------------------------------------------------------------------------- */

int s3_multipart_part(const struct s3_multipart *m, const struct call *call,
	unsigned number, const struct spool *part, char **ret_etag, struct error *e)
{
	char query[QUERY_MAX + FIELD_SIZE], hex[DIGEST_HEX_SIZE];
	snprintf(query, sizeof(query), "partNumber=%u&%s", number, m->upload_query);
	digest_hex(spool_digest(part), hex);
	const struct exchange_request request = {
		.method = "PUT",
		.path = m->target->path,
		.query = query,
		.body = spool_data(part),
		.body_fd = spool_fd(part),
		.body_len = spool_size(part),
		.payload_sha256 = hex,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = perform(m->target, call, &request, &response, e);
	if (r < 0)
		return r;
	if (response.status != 200)
		return http_answer_write_refusal(m->target, &response, e);
	if (!response.fields.etag[0])
		return refuse_body(m->target, "UploadPart", e);
	*ret_etag = strdup(response.fields.etag);
	return *ret_etag ? 0 : error_set_errno(e, -ENOMEM, "cannot upload");
}

/* --- complete ---------------------------------------------------------------------- */

/* What an <Error> says, be it behind a status of its own or behind 200. */
static bool judge_code(const char *code, enum complete_verdict *ret)
{
	static const struct {
		const char *code;
		enum complete_verdict verdict;
	} known[] = {
		{"PreconditionFailed", COMPLETE_EXISTS},
		{"ConditionalRequestConflict", COMPLETE_CONFLICT},
		{"NoSuchUpload", COMPLETE_GONE},
		{"NotImplemented", COMPLETE_UNSUPPORTED},
		{"InternalError", COMPLETE_AGAIN},
		{"ServiceUnavailable", COMPLETE_AGAIN},
		{"SlowDown", COMPLETE_AGAIN},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(code, known[i].code)) {
			*ret = known[i].verdict;
			return true;
		}
	}
	return false;
}

static bool judge_status(int status, enum complete_verdict *ret)
{
	switch (status) {
	case 412:
		*ret = COMPLETE_EXISTS;
		return true;
	case 409:
		*ret = COMPLETE_CONFLICT;
		return true;
	case 404:
		*ret = COMPLETE_GONE;
		return true;
	case 501:
		*ret = COMPLETE_UNSUPPORTED;
		return true;
	default:
		return false;
	}
}

static int judge_completion(const struct http_target *t,
	const struct http_response *response, enum complete_verdict *ret, char *ret_etag,
	struct error *e)
{
	struct s3_completion c;
	if (judge_status(response->status, ret))
		return 0;
	if (response->status != 200)
		return http_answer_write_refusal(t, response, e);
	int r = s3_xml_completion(response->body.data, response->body.len, &c);
	if (r == -EBADMSG)
		return refuse_body(t, "CompleteMultipartUpload", e);
	if (r < 0)
		return error_set_errno(e, r, "cannot upload '%s'", t->key);
	if (c.failed && !judge_code(c.code, ret))
		return error_set(e, -EIO, "'%s' could not complete '%s': %s", t->store,
			t->key, c.code);
	if (!c.failed) {
		*ret = COMPLETE_STORED;
		memcpy(ret_etag, c.etag, sizeof(c.etag));
	}
	return 0;
}

int s3_multipart_complete(const struct s3_multipart *m, const struct call *call,
	bool if_absent, const char *const *etags, size_t count,
	enum complete_verdict *ret, char *ret_etag, struct error *e)
{
	CLEANUP(buf_finish) struct buf body = BUF_INIT(PARTS_XML_MAX);
	int r = s3_xml_write_parts(&body, etags, count);
	if (r < 0)
		return error_set_errno(e, r, "cannot upload '%s'", m->target->key);
	const char *const headers[] = {"content-type: application/xml",
		if_absent ? "if-none-match: *" : NULL, NULL};
	const struct exchange_request request = {
		.method = "POST",
		.path = m->target->path,
		.query = m->upload_query,
		.headers = headers,
		.body = body.data,
		.body_fd = -1,
		.body_len = body.len,
		.stall_timeout_ns = COMPLETE_STALL_NS,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	r = perform(m->target, call, &request, &response, e);
	return r < 0 ? r : judge_completion(m->target, &response, ret, ret_etag, e);
}

/* --- abort ------------------------------------------------------------------------- */

int s3_multipart_abort(
	const struct s3_multipart *m, const struct call *call, struct error *e)
{
	const struct exchange_request request = {
		.method = "DELETE",
		.path = m->target->path,
		.query = m->upload_query,
		.body_fd = -1,
	};
	CLEANUP(http_response_finish) struct http_response response = {0};
	int r = perform(m->target, call, &request, &response, e);
	if (r < 0)
		return r;
	if (response.status == 204 || response.status == 200 || response.status == 404)
		return 0;
	return http_answer_write_refusal(m->target, &response, e);
}
