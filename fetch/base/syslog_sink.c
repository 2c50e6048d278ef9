#include "fetch/base/syslog_sink.h"

#include <syslog.h>

void syslog_sink_open(const char *program)
{
	openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void syslog_sink_write(int severity, const char *line)
{
	/* in the order of enum log_level: error, warning, info, debug */
	static const int levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	syslog(levels[severity], "%s", line);
}
