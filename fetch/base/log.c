#include "fetch/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "fetch/base/syslog_sink.h"

#define LINE_SIZE 2048

#define TO_SYSLOG -1

static struct {
	_Atomic(const char *) program;
	_Atomic(enum log_level) most;
	atomic_int fd; /* or TO_SYSLOG */
} sink = {"larder", LOG_WARNING, STDERR_FILENO};

void log_init(const char *program, enum log_level most, int fd)
{
	atomic_store(&sink.program, program);
	atomic_store(&sink.most, most);
	atomic_store(&sink.fd, fd);
}

void log_init_syslog(const char *program, enum log_level most)
{
	syslog_sink_open(program);
	log_init(program, most, TO_SYSLOG);
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

/* Puts the line where it belongs; line[len] is free. */
static void put_line(enum log_level level, char *line, size_t len)
{
	int fd = atomic_load(&sink.fd);
	if (fd == TO_SYSLOG) {
		line[len] = '\0';
		syslog_sink_write(level, line);
		return;
	}
	line[len] = '\n';
	ssize_t written = write(fd, line, len + 1);
	(void)written; /* there is nowhere left to complain */
}

void log_write(enum log_level level, const char *format, ...)
{
	if (!log_wants(level))
		return;
	int saved = errno;
	char line[LINE_SIZE];
	int used = 0;
	if (atomic_load(&sink.fd) != TO_SYSLOG)
		used = snprintf(line, sizeof(line) - 1, "%s: %s",
			atomic_load(&sink.program), level_word(level));
	va_list ap;
	va_start(ap, format);
	int more = vsnprintf(line + used, sizeof(line) - 1 - (size_t)used, format, ap);
	va_end(ap);
	size_t len = (size_t)used + (size_t)(more > 0 ? more : 0);
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	put_line(level, line, len);
	errno = saved;
}
