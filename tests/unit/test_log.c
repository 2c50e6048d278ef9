/* What a daemon logs goes out at once or is lost and counted: nothing here may wait, and
 * what does is killed by an alarm. */
#include "tests/unit/test.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/log.h"
#include "fetch/base/syslog_sink.h"
#include "tests/unit/scratch.h"

#define WAITS_FOR_EVER 20 /* seconds */

/* A log daemon's socket, which it reads when the test says so. */
static int log_daemon(const struct scratch *dir, int type)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", scratch_path(dir, "log"));
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* The next message, or "". */
static const char *taken(int fd)
{
	static char text[4096];
	ssize_t got = read(fd, text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static void a_log_daemon_gets_what_syslog_would_send(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int daemon = log_daemon(&dir, SOCK_DGRAM);
	CLEANUP(syslog_sink_finish) struct syslog_sink sink;
	syslog_sink_init(&sink, "prog", scratch_path(&dir, "log"));
	assert_true(syslog_sink_write(&sink, LOG_WARNING, "what happened"));

	const char *text = taken(daemon);
	char month[4] = "", rest[64] = "";
	int priority = 0, day, h, m, s, pid = 0;
	assert_int_equal(sscanf(text, "<%d>%3s %2d %2d:%2d:%2d prog[%d]: %63[^\n]",
				 &priority, month, &day, &h, &m, &s, &pid, rest),
		8);
	assert_int_equal(priority, 3 * 8 + 4); /* daemon, warning */
	assert_int_equal(pid, getpid());
	assert_string_equal(rest, "what happened");
	assert_int_equal(strchr(text, '>') + 16 - text, strstr(text, " prog[") - text);
}

static void a_log_daemon_that_is_stuck_keeps_nobody(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int daemon = log_daemon(&dir, SOCK_DGRAM);
	CLEANUP(syslog_sink_finish) struct syslog_sink sink;
	syslog_sink_init(&sink, "prog", scratch_path(&dir, "log"));
	alarm(WAITS_FOR_EVER);
	while (syslog_sink_write(&sink, LOG_INFO, "a line")) {
	}
	alarm(0);
	assert_non_null(strstr(taken(daemon), "a line"));
	assert_true(syslog_sink_write(&sink, LOG_INFO, "there is room again"));
}

static void a_log_daemon_that_was_restarted_is_found(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(syslog_sink_finish) struct syslog_sink sink;
	syslog_sink_init(&sink, "prog", scratch_path(&dir, "log"));
	assert_false(syslog_sink_write(&sink, LOG_INFO, "nobody is there yet"));
	for (int i = 0; i < 2; i++) {
		CLEANUP(cleanup_close) int daemon = log_daemon(&dir, SOCK_DGRAM);
		assert_true(syslog_sink_write(&sink, LOG_INFO, "somebody is"));
		assert_non_null(strstr(taken(daemon), "somebody is"));
		unlink(scratch_path(&dir, "log"));
	}
}

static void a_log_daemon_may_want_a_stream(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	CLEANUP(cleanup_close) int daemon = log_daemon(&dir, SOCK_STREAM);
	CLEANUP(syslog_sink_finish) struct syslog_sink sink;
	syslog_sink_init(&sink, "prog", scratch_path(&dir, "log"));
	alarm(WAITS_FOR_EVER);
	unsigned taken_in = 0;
	while (syslog_sink_write(&sink, LOG_INFO, "a line"))
		taken_in++;
	alarm(0);
	assert_in_range(taken_in, 8, 10); /* as many as may wait to be accepted */
	CLEANUP(cleanup_close) int peer = accept(daemon, NULL, NULL);
	char text[256];
	ssize_t got = read(peer, text, sizeof(text));
	assert_true(got > 7);
	assert_memory_equal(text + got - 7, "a line", 7); /* with its NUL */
}

/* Logs to ends[1] until it is full, reads that, and looks at what comes then. */
static void check_that_lines_are_lost_and_counted(const int ends[2])
{
	char begin[4096];
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	log_init_daemon("prog", LOG_INFO, ends[1]);
	assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
	alarm(WAITS_FOR_EVER);
	struct pollfd room = {.fd = ends[1], .events = POLLOUT};
	while (poll(&room, 1, 0) > 0)
		log_info("a line");
	for (int i = 0; i < 5000; i++) /* more than fit where poll(2) saw no room */
		log_info("a line of which there may be too many");
	alarm(0);
	while (read(ends[0], begin, sizeof(begin)) > 0) {
	}
	log_info("there is room again");
	const char *text = taken(ends[0]);
	unsigned lost = 0;
	/* a socket gives back one write at a time, a pipe both lines */
	assert_int_equal(
		sscanf(text,
			"prog: warning: lines lost here, for the log had no room: %u",
			&lost),
		1);
	assert_in_range(lost, 1, 5000);
	if (!strstr(text, "there is room again"))
		text = taken(ends[0]);
	assert_non_null(strstr(text, "prog: there is room again\n"));
	log_info("nothing was lost meanwhile");
	assert_string_equal(taken(ends[0]), "prog: nothing was lost meanwhile\n");
}

static void a_full_pipe_keeps_nobody(void **state)
{
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	check_that_lines_are_lost_and_counted(ends);
}

static void a_full_socket_keeps_nobody(void **state)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	check_that_lines_are_lost_and_counted(ends);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_daemon_gets_what_syslog_would_send),
		cmocka_unit_test(a_log_daemon_that_is_stuck_keeps_nobody),
		cmocka_unit_test(a_log_daemon_that_was_restarted_is_found),
		cmocka_unit_test(a_log_daemon_may_want_a_stream),
		cmocka_unit_test(a_full_pipe_keeps_nobody),
		cmocka_unit_test(a_full_socket_keeps_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
