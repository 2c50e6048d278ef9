/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where HTTP/1.1 messages in a stream of bytes begin and end (RFC 9112), and the few
 * fields of their heads that the proxy acts on.
 *
 * Only framing: the bytes are not judged, and anything that does not look like HTTP makes
 * the rest of the stream opaque, to be passed on as it is. A head may have HTTP_HEAD_MAX
 * bytes; a longer one makes the stream opaque, too.
 */
#ifndef FAULTPROXY_HTTP_H
#define FAULTPROXY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX    (64 << 10)
#define HTTP_UNTIL_CLOSE UINT64_MAX

enum http_span {
	HTTP_HEAD,     /* kept in stream->head; the head is not complete yet */
	HTTP_HEAD_END, /* its last bytes: stream->head and stream->message are complete */
	HTTP_BODY,     /* content */
	HTTP_FRAMING,  /* chunk sizes, trailers and the like */
	HTTP_OPAQUE,   /* not HTTP, nor will it be */
};

enum http_state {
	HTTP_AT_HEAD,
	HTTP_AT_BODY,
	HTTP_AT_CHUNK_SIZE,
	HTTP_AT_CHUNK,
	HTTP_AT_CHUNK_END,
	HTTP_AT_TRAILER,
	HTTP_AT_OPAQUE,
};

/* Texts point into the stream's head and live until the next one begins. */
struct http_message {
	const char *method, *target; /* requests */
	int status;                  /* responses */
	const char *range, *if_match, *if_none_match;
	uint64_t length; /* Content-Length; HTTP_UNTIL_CLOSE when there is none */
	bool chunked, expects_continue, closes, is_xml;
};

struct http_stream {
	bool responses;
	enum http_state state;
	uint64_t left; /* bytes of the body, or of the chunk */
	bool line_began;
	char *head; /* Owned; NULL before the first byte */
	size_t head_length, head_room;
	char *text; /* Owned: the head cut into strings */
	struct http_message message;
};

void http_init(struct http_stream *stream, bool responses);
void http_finish(struct http_stream *stream);

/*
 * Takes the longest run of bytes of one kind from the front and returns its length, at
 * least 1 for n >= 1. After HTTP_HEAD_END the caller says with http_expect_body() whether
 * a body can follow. When a stream turns opaque the held head, head_length bytes, is the
 * caller's to pass on first.
 */
size_t http_scan(struct http_stream *stream, const uint8_t *bytes, size_t n,
	enum http_span *ret_span);

/* possible false: a response that has no body whatever its head says. */
void http_expect_body(struct http_stream *stream, bool possible);

/* Whether the stream stands between two messages, none begun. */
bool http_between(const struct http_stream *stream);

/* How many of the next bytes are certainly content, UINT64_MAX for all; 0 if none. */
uint64_t http_content_left(const struct http_stream *stream);

/* Steps over n <= http_content_left() bytes of content that were not looked at. */
void http_skip(struct http_stream *stream, uint64_t n);

/* From here on everything is passed on as it is. */
void http_make_opaque(struct http_stream *stream);

#endif
