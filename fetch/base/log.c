#include "fetch/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/controls.h"
#include "fetch/base/syslog_sink.h"

#define LINE_SIZE 2048

static struct {
	_Atomic(const char *) program;
	_Atomic(enum log_level) most;
	atomic_bool may_wait;
	atomic_uint lost;          /* lines that nobody was told of */
	atomic_int fd;             /* or LOG_TO_SYSLOG */
	struct syslog_sink syslog; /* written before fd says so */
} sink = {"larder", LOG_WARNING, true, 0, STDERR_FILENO};

static void use(const char *program, enum log_level most, int fd, bool may_wait)
{
	atomic_store(&sink.program, program);
	atomic_store(&sink.most, most);
	atomic_store(&sink.may_wait, may_wait);
	atomic_store(&sink.fd, fd);
}

void log_init(const char *program, enum log_level most, int fd)
{
	use(program, most, fd, true);
}

/* A description of our own, because those who share this one may want to wait. Only what
 * can be full for long needs one; a socket is told with each line. */
static int without_waiting(int fd)
{
	struct stat st;
	char path[32];
	if (fstat(fd, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return own < 0 ? fd : own;
}

void log_init_daemon(const char *program, enum log_level most, int fd)
{
	if (fd == LOG_TO_SYSLOG)
		syslog_sink_init(&sink.syslog, program, SYSLOG_SOCKET);
	else
		fd = without_waiting(fd);
	use(program, most, fd, false);
}

bool log_wants(enum log_level level)
{
	return level <= atomic_load(&sink.most);
}

static const char *level_word(enum log_level level)
{
	switch (level) {
	case LOG_ERROR:
		return "error: ";
	case LOG_WARNING:
		return "warning: ";
	case LOG_DEBUG:
		return "debug: ";
	case LOG_INFO:
		break;
	}
	return "";
}

/* poll(2) is for a pipe that could not be opened anew; a file always has room. */
static bool has_room(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	return poll(&p, 1, 0) > 0;
}

static bool write_at_once(int fd, const char *line, size_t len)
{
	ssize_t written = send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (written < 0 && errno == ENOTSOCK && has_room(fd))
		written = write(fd, line, len);
	return written == (ssize_t)len;
}

/* Puts the line where it belongs; line[len] is free. False: it is lost. */
static bool put_line(int fd, enum log_level level, char *line, size_t len)
{
	if (fd == LOG_TO_SYSLOG) {
		line[len] = '\0';
		return syslog_sink_write(&sink.syslog, (int)level, line);
	}
	line[len] = '\n';
	if (!atomic_load(&sink.may_wait))
		return write_at_once(fd, line, len + 1);
	return write(fd, line, len + 1) >= 0;
}

__attribute__((format(printf, 2, 0))) static bool say(
	enum log_level level, const char *format, va_list ap)
{
	int fd = atomic_load(&sink.fd);
	char line[LINE_SIZE];
	int used = 0;
	if (fd != LOG_TO_SYSLOG)
		used = snprintf(line, sizeof(line) - 1, "%s: %s",
			atomic_load(&sink.program), level_word(level));
	int more = vsnprintf(line + used, sizeof(line) - 1 - (size_t)used, format, ap);
	size_t len = (size_t)used + (size_t)(more > 0 ? more : 0);
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	controls_blot(line, len);
	return put_line(fd, level, line, len);
}

__attribute__((format(printf, 2, 3))) static bool say_words(
	enum log_level level, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	bool said = say(level, format, ap);
	va_end(ap);
	return said;
}

/* Says where lines are missing. False: there still is no room. */
static bool tell_lost(void)
{
	unsigned lost = atomic_exchange(&sink.lost, 0);
	if (!lost || say_words(LOG_WARNING,
			     "lines lost here, for the log had no room: %u", lost))
		return true;
	atomic_fetch_add(&sink.lost, lost);
	return false;
}

void log_write(enum log_level level, const char *format, ...)
{
	if (!log_wants(level))
		return;
	int saved = errno;
	va_list ap;
	va_start(ap, format);
	if (!tell_lost() || !say(level, format, ap))
		atomic_fetch_add(&sink.lost, 1);
	va_end(ap);
	errno = saved;
}
