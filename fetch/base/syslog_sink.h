/*
 * Lines to the log daemon, in the words of syslog(3) and facility daemon, but never
 * waiting: syslog(3) waits for room in the daemon's socket, for ever when the daemon is
 * stuck, and holds a lock meanwhile.
 *
 * The socket is not connected, so a daemon that was restarted is found again; and nothing
 * changes after init, so any number of threads may write.
 *
 * <syslog.h> calls its levels by names that fetch/base/log.h has too, so it is included
 * in one file only.
 */
#ifndef LARDER_FETCH_BASE_SYSLOG_SINK_H
#define LARDER_FETCH_BASE_SYSLOG_SINK_H

#include <stdbool.h>

#define SYSLOG_SOCKET "/dev/log"

struct syslog_sink {
	const char *program; /* borrowed */
	const char *path;    /* borrowed */
	int fd;
};

/* Lines will go to the socket at path, be anybody there or not. */
void syslog_sink_init(struct syslog_sink *s, const char *program, const char *path);
void syslog_sink_finish(struct syslog_sink *s);

/* severity: a value of enum log_level. The line has no line break. False when nobody
 * takes it at once; it is lost then. */
bool syslog_sink_write(const struct syslog_sink *s, int severity, const char *line);

#endif
