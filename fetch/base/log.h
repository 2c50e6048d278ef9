/*
 * One log for the process.
 *
 * Libraries (fetch/, archive/) log at LOG_DEBUG only; fs/ and tools/ decide what is said
 * aloud, and say it once. A line is written with one write(2), so lines of several
 * threads do not mix. Control characters in a message are replaced by '?'.
 *
 * A daemon's log never waits: where nobody reads it, lines are lost and counted, and the
 * next line that finds room comes after one that tells how many. The exception is a file
 * on a disk that hangs, which no call can tell beforehand.
 *
 * log_init() and log_init_daemon() may be called while other threads log; a line goes to
 * the old place or to the new one.
 */
#ifndef LARDER_FETCH_BASE_LOG_H
#define LARDER_FETCH_BASE_LOG_H

#include <stdbool.h>

#define LOG_TO_SYSLOG -1

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Lines go to descriptor fd (not owned), each begun with `program: `; a line above
 * `most` is dropped. Before this is called: standard error, LOG_WARNING, "larder". */
void log_init(const char *program, enum log_level most, int fd);

/* The same for a daemon's log, once; program is borrowed for ever. fd: or LOG_TO_SYSLOG,
 * facility daemon. */
void log_init_daemon(const char *program, enum log_level most, int fd);

/* True when a line of this level would be written: guards costly arguments. */
bool log_wants(enum log_level level);

void log_write(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                   \
	do {                                                                             \
		if (log_wants(LOG_DEBUG))                                                \
			log_write(LOG_DEBUG, __VA_ARGS__);                               \
	} while (0)

#endif
