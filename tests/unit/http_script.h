/*
 * An HTTP/1.1 server inside a test, whose every byte the test decides.
 *
 * It listens on a loopback port of the system's choice. Each connection has a thread that
 * reads one request after the other and hands it to the script, which answers, keeps
 * silent, sends nonsense or closes. Nothing here waits for time to pass: a silent script
 * calls script_hold(), which returns when the client has closed or the server stops.
 *
 * The script may be called by several threads at once. http_script_stop() ends every
 * connection and joins every thread.
 */
#ifndef LARDER_TESTS_UNIT_HTTP_SCRIPT_H
#define LARDER_TESTS_UNIT_HTTP_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_script;
struct script_connection;

/* Borrowed for the call of the script. */
struct script_request {
	unsigned number;     /* of all requests of this server, from 1 */
	unsigned connection; /* which one it came on, from 1 */
	const char *method;
	const char *target;
	const char *head; /* the request line and all fields as sent */
	const char *body;
	size_t body_len;
};

/* Return true to go on with the connection, false to close it. */
typedef bool http_script_fn(
	struct script_connection *c, const struct script_request *request, void *arg);

struct http_script *http_script_start(http_script_fn *fn, void *arg);
void http_script_stop(struct http_script *s);

/* "http://127.0.0.1:port"; borrowed. */
const char *http_script_origin(const struct http_script *s);

/* origin + path, in one of a few static buffers of this thread. */
const char *http_script_url(const struct http_script *s, const char *path);

/* Closes all connections there are, as servers do with idle ones. */
void http_script_hang_up(struct http_script *s);

/* What has happened so far. */
unsigned http_script_requests(struct http_script *s);
unsigned http_script_connections(struct http_script *s);

/* Return when there have been so many. */
void http_script_wait_requests(struct http_script *s, unsigned n);
void http_script_wait_connections(struct http_script *s, unsigned n);
void http_script_wait_closed(struct http_script *s, unsigned n);

/* For scripts: sends bytes as they are; false when the client is gone. */
bool script_send(struct script_connection *c, const void *data, size_t len);
bool script_say(struct script_connection *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A whole answer: "status reason", further field lines each ended by \r\n (or ""), and a
 * body with its Content-Length. */
bool script_answer(struct script_connection *c, const char *status, const char *fields,
	const void *body, size_t len);

/* Until the client closes this connection, or the server stops. Returns false, so that a
 * script can return it. */
bool script_hold(struct script_connection *c);

/* Closes so that the client sees a reset. Returns false. */
bool script_reset(struct script_connection *c);

/* The value of a field of the request, in one of a few static buffers of this thread; NULL
 * when it is not there. */
const char *script_field(const struct script_request *request, const char *name);

/* A door that opens once: for ordering what threads do. */
struct gate;
struct gate *gate_new(void);
void gate_free(struct gate *g);
void gate_open(struct gate *g);
void gate_wait(struct gate *g);

#endif
