#include "fetch/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 2048

static struct {
	const char *program;
	enum log_level most;
	int fd;
} sink = { "larder", LOG_WARNING, STDERR_FILENO };

void log_init(const char *program, enum log_level most, int fd)
{
	sink.program = program;
	sink.most = most;
	sink.fd = fd;
}

bool log_wants(enum log_level level)
{
	return level <= sink.most;
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

void log_write(enum log_level level, const char *format, ...)
{
	if (!log_wants(level))
		return;
	int saved = errno;
	char line[LINE_SIZE];
	int used = snprintf(line, sizeof(line) - 1, "%s: %s", sink.program, level_word(level));
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
	line[len] = '\n';
	ssize_t written = write(sink.fd, line, len + 1);
	(void)written; /* there is nowhere left to complain */
	errno = saved;
}
