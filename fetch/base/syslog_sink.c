#include "fetch/base/syslog_sink.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"

#define MESSAGE_SIZE 2304 /* a line of the log and what stands before it */

void syslog_sink_init(struct syslog_sink *s, const char *program, const char *path)
{
	tzset(); /* localtime_r() then reads no file */
	*s = (struct syslog_sink){
		.program = program,
		.path = path,
		.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	};
}

void syslog_sink_finish(struct syslog_sink *s)
{
	cleanup_close(&s->fd);
}

/* What syslog(3) would send: RFC 3164, without a host. */
static size_t word(const struct syslog_sink *s, int severity, const char *line, char *ret)
{
	/* in the order of enum log_level: error, warning, info, debug */
	static const int levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	time_t now = time(NULL);
	struct tm tm;
	char when[32];
	strftime(when, sizeof(when), "%h %e %T", localtime_r(&now, &tm));
	int len = snprintf(ret, MESSAGE_SIZE, "<%d>%s %s[%d]: %s",
		LOG_DAEMON | levels[severity], when, s->program, (int)getpid(), line);
	return len < MESSAGE_SIZE ? (size_t)len : MESSAGE_SIZE - 1;
}

/* A daemon that wants a stream finds the end of a message by its NUL. */
static bool send_as_stream(const struct sockaddr_un *to, const char *text, size_t len)
{
	CLEANUP(cleanup_close)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 &&
	       send(fd, text, len + 1, MSG_NOSIGNAL) == (ssize_t)len + 1;
}

bool syslog_sink_write(const struct syslog_sink *s, int severity, const char *line)
{
	char text[MESSAGE_SIZE];
	size_t len = word(s, severity, line, text);
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", s->path);
	if (sendto(s->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to,
		    sizeof(to)) >= 0)
		return true;
	return errno == EPROTOTYPE && send_as_stream(&to, text, len);
}
