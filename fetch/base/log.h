/*
 * One log for the process.
 *
 * Libraries (fetch/, archive/) log at LOG_DEBUG only; fs/ and tools/ decide what is said
 * aloud, and say it once. A line is written with one write(2), so lines of several
 * threads do not mix. Control characters in a message are replaced by '?'.
 *
 * log_init() and log_init_syslog() may be called again while other threads log; a line
 * goes to the old place or to the new one.
 */
#ifndef LARDER_FETCH_BASE_LOG_H
#define LARDER_FETCH_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Lines go to descriptor fd (not owned), each begun with `program: `; a line above
 * `most` is dropped. Before this is called: standard error, LOG_WARNING, "larder". */
void log_init(const char *program, enum log_level most, int fd);

/* Lines go to syslog(3), facility daemon. program is borrowed for ever. */
void log_init_syslog(const char *program, enum log_level most);

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
