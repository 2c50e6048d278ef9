/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include <string.h>

#include "relay.h"

/* The length of a response is taken to be this where its head does not say. */
#define UNKNOWN_LENGTH (16 << 10)

#define NOWHERE UINT64_MAX

void exchange_init(struct exchange *exchange)
{
	memset(exchange, 0, sizeof(*exchange));
	exchange->strike_at = exchange->corrupt_at = NOWHERE;
	exchange->current.matches = true;
}

void exchange_forgive(struct exchange *exchange)
{
	exchange->strike_at = exchange->corrupt_at = NOWHERE;
	for (unsigned i = 0; i < exchange->count; i++) {
		unsigned slot = (exchange->first + i) % PIPELINED_MAX;

		exchange->waiting[slot].plan = (struct plan){.retry_after = -1};
	}
}

/* Puts bytes on the line that are not in a block yet. */
static void append_copy(struct flow *flow, const void *bytes, size_t n, uint64_t due)
{
	struct block *block = pool_block(&flow->conn->proxy->pool, n);

	memcpy(block->bytes + block->used, bytes, n);
	line_append(&flow->line, block, block->used, n, due);
	block->used += n;
}

static void append_held_head(struct flow *flow, uint64_t due)
{
	if (flow->http.head_length)
		append_copy(flow, flow->http.head, flow->http.head_length, due);
	flow->http.head_length = 0;
}

static void make_opaque(struct conn *conn)
{
	struct flow *flows[] = {&conn->up, &conn->down};

	for (int i = 0; i < 2; i++) {
		append_held_head(flows[i], flows[i]->due);
		http_make_opaque(&flows[i]->http);
	}
	conn->exchange.current = (struct request){.matches = true};
	conn->exchange.strike_at = conn->exchange.corrupt_at = NOWHERE;
}

/* Responses: faults within them */

static void note_fault(struct conn *conn, enum fault fault)
{
	stats_fault(&conn->proxy->stats, conn->exchange.current.log, fault);
}

static void strike(struct flow *flow, enum mark mark)
{
	struct conn *conn = flow->conn;

	line_append_mark(&flow->line, mark, flow->due);
	conn->exchange.strike_at = NOWHERE;
	if (mark == MARK_HALT) {
		note_fault(conn, FAULT_STALL);
		return;
	}
	note_fault(conn, mark == MARK_CLOSE ? FAULT_CUT : FAULT_RESET);
	flow->deaf = true;
}

/* How many response bytes may pass before the next mark, which it gives. */
static uint64_t before_strike(const struct conn *conn, enum mark *ret_mark)
{
	const struct exchange *exchange = &conn->exchange;
	const struct faults *faults = &conn->proxy->faults;
	uint64_t left = NOWHERE;

	if (exchange->strike_at != NOWHERE) {
		left = exchange->strike_at - exchange->sent;
		*ret_mark = exchange->strike;
	}
	if (faults->cut_after != UNLIMITED && exchange->current.matches) {
		uint64_t cut = faults->cut_after > exchange->counted
				       ? faults->cut_after - exchange->counted
				       : 0;

		if (cut < left) {
			left = cut;
			*ret_mark = faults->cut_resets ? MARK_RESET : MARK_CLOSE;
		}
	}
	return left;
}

static void count_sent(struct exchange *exchange, uint64_t n)
{
	exchange->sent += n;
	if (exchange->current.matches)
		exchange->counted += n;
}

static void append_response(
	struct flow *flow, struct block *block, size_t offset, size_t n)
{
	struct conn *conn = flow->conn;
	enum mark mark = MARK_NONE;

	while (n && !flow->deaf) {
		uint64_t room = before_strike(conn, &mark);
		size_t take = n < room ? n : (size_t)room;

		line_append(&flow->line, block, offset, take, flow->due);
		count_sent(&conn->exchange, take);
		offset += take;
		n -= take;
		if (take == room)
			strike(flow, mark);
	}
}

static void append_response_head(struct flow *flow)
{
	struct http_stream *http = &flow->http;
	struct block *block = pool_block(&flow->conn->proxy->pool, http->head_length);
	size_t offset = block->used;

	memcpy(block->bytes + offset, http->head, http->head_length);
	block->used += http->head_length;
	block->refs++; /* a strike may leave no byte of it on the line */
	append_response(flow, block, offset, http->head_length);
	pool_unref(&flow->conn->proxy->pool, block);
}

/* Objects only: a listing or an error has no digest by which its reader could tell. */
static bool may_corrupt(const struct conn *conn)
{
	const struct http_message *response = &conn->down.http.message;

	return conn->exchange.current.get && conn->exchange.current.matches &&
	       (response->status == 200 || response->status == 206) && !response->is_xml;
}

static uint64_t content_length(const struct http_message *response)
{
	if (response->chunked || response->length == HTTP_UNTIL_CLOSE)
		return UNKNOWN_LENGTH;
	return response->length;
}

static void aim(struct conn *conn, uint64_t head, uint64_t content)
{
	struct exchange *exchange = &conn->exchange;
	const struct plan *plan = &exchange->current.plan;
	static const enum mark marks[FAULT_KINDS] = {
		[FAULT_CUT] = MARK_CLOSE,
		[FAULT_RESET] = MARK_RESET,
		[FAULT_STALL] = MARK_HALT,
	};

	exchange->strike_at = exchange->corrupt_at = NOWHERE;
	if (plan->fault == FAULT_CORRUPT && may_corrupt(conn)) {
		exchange->corrupt_at = plan_place(plan, content);
	} else if (marks[plan->fault] != MARK_NONE) {
		exchange->strike = marks[plan->fault];
		exchange->strike_at = plan_place(plan, head + content);
	} else if (conn->proxy->faults.stall_after_head && exchange->current.matches) {
		exchange->strike = MARK_HALT;
		exchange->strike_at = head;
	}
}

static void flip_bit(struct conn *conn, uint8_t *byte, uint64_t where)
{
	*byte ^= (uint8_t)(1 << (where % 8));
	note_fault(conn, FAULT_CORRUPT);
}

static void corrupt_every(struct conn *conn, uint8_t *bytes, size_t n)
{
	struct faults *faults = &conn->proxy->faults;

	while (n >= faults->corrupt_left) {
		size_t step = (size_t)faults->corrupt_left;

		flip_bit(conn, &bytes[step - 1], step);
		bytes += step;
		n -= step;
		faults->corrupt_left = faults->corrupt_every;
	}
	faults->corrupt_left -= n;
}

static void count_content(struct conn *conn, uint64_t n)
{
	struct log_entry *entry =
		stats_entry(&conn->proxy->stats, conn->exchange.current.log);

	conn->exchange.content += n;
	if (entry)
		entry->content += n;
}

static void response_content(struct flow *flow, uint8_t *bytes, size_t n)
{
	struct conn *conn = flow->conn;
	struct exchange *exchange = &conn->exchange;
	uint64_t at = exchange->corrupt_at - exchange->content;

	if (exchange->corrupt_at != NOWHERE && at < n) {
		flip_bit(conn, &bytes[at], exchange->corrupt_at);
		exchange->corrupt_at = NOWHERE;
	}
	if (conn->proxy->faults.corrupt_every && may_corrupt(conn))
		corrupt_every(conn, bytes, n);
	count_content(conn, n);
}

static void response_ended(struct conn *conn)
{
	struct exchange *exchange = &conn->exchange;

	if (exchange->responding)
		conn->proxy->stats.responses++;
	exchange->responding = false;
}

/* The next response is the oldest waiting request's. */
static void next_response(struct exchange *exchange)
{
	exchange->sent = exchange->content = 0;
	exchange->responding = true;
	if (!exchange->count) {
		exchange->current = (struct request){.matches = true};
		return;
	}
	exchange->current = exchange->waiting[exchange->first];
	exchange->first = (exchange->first + 1) % PIPELINED_MAX;
	exchange->count--;
}

static bool has_content(const struct conn *conn, int status)
{
	return !conn->exchange.current.head && status != 204 && status != 304;
}

static void response_head(struct flow *flow)
{
	struct conn *conn = flow->conn;
	struct http_stream *http = &flow->http;
	int status = http->message.status;
	struct log_entry *entry;
	bool content;

	if (status / 100 == 1) {
		append_held_head(flow, flow->due);
		http_expect_body(http, false);
		if (status == 101)
			make_opaque(conn);
		return;
	}
	next_response(&conn->exchange);
	content = has_content(conn, status);
	entry = stats_entry(&conn->proxy->stats, conn->exchange.current.log);
	if (entry)
		entry->status = status;
	aim(conn, http->head_length, content ? content_length(&http->message) : 0);
	append_response_head(flow);
	http_expect_body(http, content);
}

static void down_span(struct flow *flow, enum http_span span, struct block *block,
	size_t offset, size_t n)
{
	switch (span) {
	case HTTP_HEAD:
		return;
	case HTTP_HEAD_END:
		response_head(flow);
		break;
	case HTTP_BODY:
		response_content(flow, block->bytes + offset, n);
		append_response(flow, block, offset, n);
		break;
	case HTTP_FRAMING:
		append_response(flow, block, offset, n);
		break;
	case HTTP_OPAQUE:
		if (flow->http.head_length)
			make_opaque(flow->conn);
		append_response(flow, block, offset, n);
		return;
	}
	if (http_between(&flow->http))
		response_ended(flow->conn);
}

void exchange_down(struct flow *flow, struct block *block, size_t offset, size_t n)
{
	while (n && !flow->deaf) {
		enum http_span span;
		size_t used = http_scan(&flow->http, block->bytes + offset, n, &span);

		down_span(flow, span, block, offset, used);
		offset += used;
		n -= used;
	}
}

/* Requests */

static void answer(struct conn *conn)
{
	struct exchange *exchange = &conn->exchange;
	struct request *request = &exchange->swallowed;
	uint64_t due = conn->up.due + request->plan.delay + conn->proxy->rtt / 2;
	struct log_entry *entry = stats_entry(&conn->proxy->stats, request->log);
	char text[FAULT_ANSWER_MAX];
	size_t n = faults_answer(&request->plan, request->head, request->closes, text);

	append_copy(&conn->down, text, n, due);
	if (request->closes) {
		line_append_mark(&conn->down.line, MARK_CLOSE, due);
		conn->down.deaf = true;
	}
	if (entry)
		entry->status = request->plan.status;
	stats_fault(&conn->proxy->stats, request->log, FAULT_STATUS);
	exchange->swallowing = false;
	task_queue(&conn->proxy->loop, &conn->down.task);
}

static struct request read_request(struct conn *conn, const struct http_message *message)
{
	struct proxy *proxy = conn->proxy;
	struct request request = {
		.head = !strcmp(message->method, "HEAD"),
		.get = !strcmp(message->method, "GET"),
		.matches = faults_match(&proxy->faults, message->method, message->target),
		.closes = message->closes || message->expects_continue,
		.plan.retry_after = -1,
	};

	request.log = stats_request(&proxy->stats, message, conn->id, proxy->loop.now);
	return request;
}

/* Only the last of the requests under way can be answered here, or answers would cross.
 */
static bool may_answer(const struct exchange *exchange)
{
	return !exchange->count && !exchange->responding;
}

static void forward_request(struct flow *flow, const struct request *request)
{
	struct exchange *exchange = &flow->conn->exchange;
	unsigned slot = (exchange->first + exchange->count) % PIPELINED_MAX;

	exchange->waiting[slot] = *request;
	exchange->count++;
	if (request->plan.delay)
		stats_fault(&flow->conn->proxy->stats, request->log, FAULT_DELAY);
	append_held_head(flow, flow->due + request->plan.delay);
}

static void request_head(struct flow *flow)
{
	struct conn *conn = flow->conn;
	struct exchange *exchange = &conn->exchange;
	struct http_stream *http = &flow->http;
	bool expects = http->message.expects_continue;
	struct request request = read_request(conn, &http->message);

	if (request.matches && may_answer(exchange))
		faults_draw(&conn->proxy->faults, &request.plan);
	if (request.plan.fault != FAULT_STATUS && exchange->count == PIPELINED_MAX) {
		make_opaque(conn);
		return;
	}
	if (request.plan.fault == FAULT_STATUS) {
		exchange->swallowed = request;
		exchange->swallowing = true;
	} else {
		forward_request(flow, &request);
	}
	http_expect_body(http, true);
	if (exchange->swallowing && (expects || http_between(http)))
		answer(conn);
	if (expects && request.plan.fault == FAULT_STATUS)
		flow->deaf = true;
}

static void up_span(struct flow *flow, enum http_span span, struct block *block,
	size_t offset, size_t n)
{
	struct exchange *exchange = &flow->conn->exchange;

	if (span == HTTP_HEAD)
		return;
	if (span == HTTP_HEAD_END) {
		request_head(flow);
		return;
	}
	if (span == HTTP_OPAQUE)
		make_opaque(flow->conn);
	if (!exchange->swallowing)
		line_append(&flow->line, block, offset, n, flow->due);
	else if (http_between(&flow->http))
		answer(flow->conn);
}

void exchange_up(struct flow *flow, struct block *block, size_t offset, size_t n)
{
	while (n && !flow->deaf) {
		enum http_span span;
		size_t used = http_scan(&flow->http, block->bytes + offset, n, &span);

		up_span(flow, span, block, offset, used);
		offset += used;
		n -= used;
	}
}

/* Both ways */

void exchange_end(struct flow *flow)
{
	if (flow->http.state == HTTP_AT_HEAD && !flow->deaf)
		append_held_head(flow, flow->due);
}

uint64_t exchange_blind(const struct flow *flow)
{
	const struct conn *conn = flow->conn;
	uint64_t content = http_content_left(&flow->http);
	enum mark mark;
	uint64_t room;

	if (flow->deaf)
		return 0;
	if (flow == &conn->up)
		return conn->exchange.swallowing ? 0 : content;
	if (conn->exchange.corrupt_at != NOWHERE || conn->proxy->faults.corrupt_every)
		return 0;
	/* one byte less, so that the strike itself is made by append_response() */
	room = before_strike(conn, &mark);
	if (room != NOWHERE)
		room -= room > 0;
	return content < room ? content : room;
}

void exchange_passed(struct flow *flow, uint64_t n)
{
	http_skip(&flow->http, n);
	if (flow == &flow->conn->up)
		return;
	count_sent(&flow->conn->exchange, n);
	count_content(flow->conn, n);
	if (http_between(&flow->http))
		response_ended(flow->conn);
}
