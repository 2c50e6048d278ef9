/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void http_init(struct http_stream *stream, bool responses)
{
	*stream = (struct http_stream){.responses = responses};
}

void http_finish(struct http_stream *stream)
{
	free(stream->head);
	free(stream->text);
	http_init(stream, stream->responses);
}

void http_make_opaque(struct http_stream *stream)
{
	stream->state = HTTP_AT_OPAQUE;
}

bool http_between(const struct http_stream *stream)
{
	return stream->state == HTTP_AT_HEAD && stream->head_length == 0;
}

uint64_t http_content_left(const struct http_stream *stream)
{
	switch (stream->state) {
	case HTTP_AT_BODY:
	case HTTP_AT_CHUNK:
		return stream->left;
	case HTTP_AT_OPAQUE:
		return UINT64_MAX;
	default:
		return 0;
	}
}

void http_skip(struct http_stream *stream, uint64_t n)
{
	if (stream->state == HTTP_AT_OPAQUE || stream->left == HTTP_UNTIL_CLOSE)
		return;
	stream->left -= n;
	if (stream->left)
		return;
	stream->state = stream->state == HTTP_AT_BODY ? HTTP_AT_HEAD : HTTP_AT_CHUNK_END;
	stream->line_began = false;
}

void http_expect_body(struct http_stream *stream, bool possible)
{
	const struct http_message *message = &stream->message;

	stream->head_length = 0;
	stream->line_began = false;
	stream->state = HTTP_AT_HEAD;
	if (!possible)
		return;
	if (message->chunked) {
		stream->left = 0;
		stream->state = HTTP_AT_CHUNK_SIZE;
	} else if (message->length != HTTP_UNTIL_CLOSE || stream->responses) {
		stream->left = message->length;
		stream->state = stream->left ? HTTP_AT_BODY : HTTP_AT_HEAD;
	}
}

/* Heads */

static bool parse_number(const char *text, uint64_t *ret_value)
{
	char *end;
	unsigned long long value;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || value == UINT64_MAX)
		return false;
	*ret_value = value;
	return true;
}

static bool parse_request_line(struct http_message *message, char *line)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version || strncmp(version + 1, "HTTP/1.", 7))
		return false;
	*target = *version = '\0';
	message->method = line;
	message->target = target + 1;
	message->closes = !strcmp(version + 1, "HTTP/1.0");
	return *line && message->target[0];
}

static bool parse_status_line(struct http_message *message, const char *line)
{
	if (strlen(line) < 12 || strncmp(line, "HTTP/1.", 7) || line[8] != ' ')
		return false;
	for (int i = 9; i < 12; i++) {
		if (!isdigit((unsigned char)line[i]))
			return false;
		message->status = 10 * message->status + (line[i] - '0');
	}
	return true;
}

static bool parse_field(struct http_message *message, const char *name, const char *value)
{
	if (!strcasecmp(name, "content-length"))
		return parse_number(value, &message->length);
	if (!strcasecmp(name, "transfer-encoding"))
		message->chunked = strcasestr(value, "chunked") != NULL;
	else if (!strcasecmp(name, "range"))
		message->range = value;
	else if (!strcasecmp(name, "if-match"))
		message->if_match = value;
	else if (!strcasecmp(name, "if-none-match"))
		message->if_none_match = value;
	else if (!strcasecmp(name, "expect"))
		message->expects_continue = !strcasecmp(value, "100-continue");
	else if (!strcasecmp(name, "connection"))
		message->closes |= strcasestr(value, "close") != NULL;
	else if (!strcasecmp(name, "content-type"))
		message->is_xml = strcasestr(value, "xml") != NULL;
	return true;
}

static bool parse_field_line(struct http_message *message, char *line)
{
	char *value = strchr(line, ':');
	size_t length;

	if (!value)
		return false;
	*value++ = '\0';
	value += strspn(value, " \t");
	length = strlen(value);
	while (length && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		value[--length] = '\0';
	return parse_field(message, line, value);
}

/* Cuts the head into lines and reads them; false if it is not HTTP. */
static bool parse_head(struct http_stream *stream)
{
	struct http_message *message = &stream->message;
	char *text = realloc(stream->text, stream->head_length + 1);
	char *line, *rest;

	if (!text)
		return false;
	stream->text = text;
	memcpy(text, stream->head, stream->head_length);
	text[stream->head_length] = '\0';
	*message = (struct http_message){.length = HTTP_UNTIL_CLOSE};
	if (strlen(text) != stream->head_length)
		return false;
	line = strtok_r(text, "\r\n", &rest);
	if (!line || !(stream->responses ? parse_status_line(message, line)
					 : parse_request_line(message, line)))
		return false;
	while ((line = strtok_r(NULL, "\r\n", &rest)))
		if (!parse_field_line(message, line))
			return false;
	return true;
}

static bool head_plausible(const struct http_stream *stream)
{
	static const char response[] = "HTTP/1.";
	size_t n = stream->head_length < 7 ? stream->head_length : 7;

	if (stream->responses)
		return !memcmp(stream->head, response, n);
	for (size_t i = 0; i < n && stream->head[i] != ' '; i++)
		if (!isupper((unsigned char)stream->head[i]))
			return false;
	return true;
}

/* Holds n more bytes; false when there are too many. */
static bool head_keep(struct http_stream *stream, const uint8_t *bytes, size_t n)
{
	size_t length = stream->head_length + n;

	if (length > stream->head_room) {
		size_t room = length < 4096 ? 4096 : 2 * length;
		char *head =
			room <= 2 * HTTP_HEAD_MAX ? realloc(stream->head, room) : NULL;

		if (!head)
			return false;
		stream->head = head;
		stream->head_room = room;
	}
	memcpy(stream->head + stream->head_length, bytes, n);
	stream->head_length = length;
	return length <= HTTP_HEAD_MAX;
}

/* The number of bytes up to the end of the head, or 0 if it does not end in them. */
static size_t head_end(const struct http_stream *stream, const uint8_t *bytes, size_t n)
{
	unsigned matched = 0; /* of CR LF CR LF */
	size_t back = stream->head_length < 3 ? stream->head_length : 3;
	const char *before =
		stream->head_length ? stream->head + stream->head_length - back : NULL;

	for (size_t i = 0; i < back + n; i++) {
		uint8_t c = i < back ? (uint8_t)before[i] : bytes[i - back];

		if (c == (matched & 1 ? '\n' : '\r'))
			matched++;
		else
			matched = c == '\r';
		if (matched == 4 && i >= back)
			return i - back + 1;
	}
	return 0;
}

/* Bytes that are not HTTP are not kept: those held before them stay in the head. */
static enum http_span scan_head(
	struct http_stream *stream, const uint8_t *bytes, size_t n, size_t *ret_used)
{
	size_t end = head_end(stream, bytes, n);
	size_t held = stream->head_length;

	*ret_used = end ? end : n;
	if (head_keep(stream, bytes, *ret_used) && head_plausible(stream)) {
		if (!end)
			return HTTP_HEAD;
		if (parse_head(stream))
			return HTTP_HEAD_END;
	}
	stream->head_length = held;
	stream->state = HTTP_AT_OPAQUE;
	return HTTP_OPAQUE;
}

/* Chunks */

static int hex_digit(uint8_t c)
{
	if (isdigit(c))
		return c - '0';
	c = (uint8_t)tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void chunk_size_ended(struct http_stream *stream)
{
	stream->state = stream->left ? HTTP_AT_CHUNK : HTTP_AT_TRAILER;
	stream->line_began = false;
}

/* One byte of "SIZE[;extension] CR LF"; line_began once the size has ended. */
static void scan_chunk_size(struct http_stream *stream, uint8_t c)
{
	int digit = hex_digit(c);

	if (c == '\n') {
		chunk_size_ended(stream);
	} else if (!stream->line_began && digit >= 0) {
		if (stream->left >> 58)
			stream->state = HTTP_AT_OPAQUE;
		stream->left = 16 * stream->left + (unsigned)digit;
	} else {
		stream->line_began = true;
	}
}

static void scan_framing_byte(struct http_stream *stream, uint8_t c)
{
	if (stream->state == HTTP_AT_CHUNK_SIZE) {
		scan_chunk_size(stream, c);
	} else if (stream->state == HTTP_AT_CHUNK_END) {
		if (c == '\n') {
			stream->state = HTTP_AT_CHUNK_SIZE;
			stream->left = 0;
			stream->line_began = false;
		}
	} else if (c == '\n') { /* a trailer line; an empty one ends the message */
		if (!stream->line_began)
			stream->state = HTTP_AT_HEAD;
		stream->line_began = false;
	} else if (c != '\r') {
		stream->line_began = true;
	}
}

static bool in_framing(const struct http_stream *stream)
{
	return stream->state == HTTP_AT_CHUNK_SIZE ||
	       stream->state == HTTP_AT_CHUNK_END || stream->state == HTTP_AT_TRAILER;
}

size_t http_scan(struct http_stream *stream, const uint8_t *bytes, size_t n,
	enum http_span *ret_span)
{
	uint64_t content = http_content_left(stream);
	size_t used = 0;

	if (content) {
		used = n < content ? n : (size_t)content;
		*ret_span = stream->state == HTTP_AT_OPAQUE ? HTTP_OPAQUE : HTTP_BODY;
		http_skip(stream, used);
		return used;
	}
	if (stream->state == HTTP_AT_HEAD) {
		*ret_span = scan_head(stream, bytes, n, &used);
		return used;
	}
	while (used < n && in_framing(stream))
		scan_framing_byte(stream, bytes[used++]);
	*ret_span = HTTP_FRAMING;
	return used;
}
