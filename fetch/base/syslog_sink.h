/*
 * Lines to syslog(3). <syslog.h> calls its levels by names that fetch/base/log.h has too,
 * so it is included in one file only.
 */
#ifndef LARDER_FETCH_BASE_SYSLOG_SINK_H
#define LARDER_FETCH_BASE_SYSLOG_SINK_H

/* program is borrowed for ever. */
void syslog_sink_open(const char *program);

/* severity: a value of enum log_level. The line has no line break. Any thread. */
void syslog_sink_write(int severity, const char *line);

#endif
