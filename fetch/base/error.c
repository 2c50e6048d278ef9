#include "fetch/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fetch/base/controls.h"

__attribute__((format(printf, 3, 0))) static void set_text(
	struct error *e, int code, const char *format, va_list ap)
{
	e->code = code;
	vsnprintf(e->text, sizeof(e->text), format, ap);
	controls_blot(e->text, strlen(e->text));
}

int error_set(struct error *e, int code, const char *format, ...)
{
	if (!e)
		return code;
	va_list ap;
	va_start(ap, format);
	set_text(e, code, format, ap);
	va_end(ap);
	return code;
}

int error_set_errno(struct error *e, int code, const char *format, ...)
{
	if (!e)
		return code;
	va_list ap;
	va_start(ap, format);
	set_text(e, code, format, ap);
	va_end(ap);
	size_t used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, ": %s", strerror(-code));
	return code;
}

int error_prefix(struct error *e, const char *format, ...)
{
	if (!e)
		return 0;
	char old[ERROR_TEXT_SIZE];
	memcpy(old, e->text, sizeof(old));
	va_list ap;
	va_start(ap, format);
	set_text(e, e->code, format, ap);
	va_end(ap);
	size_t used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, "%.*s",
		(int)(sizeof(e->text) - used - 1), old);
	return e->code;
}

int error_recode(int code, struct error *e)
{
	switch (-code) {
	case ENOENT:
	case ESTALE:
	case EBADMSG:
	case EBUSY:
	case EKEYREJECTED:
	case EOPNOTSUPP:
	case EEXIST:
	case ETIMEDOUT:
	case ECANCELED:
	case EINVAL:
		code = -EIO;
	}
	if (e)
		e->code = code;
	return code;
}

void error_copy(struct error *dst, const struct error *src)
{
	if (dst && src)
		*dst = *src;
}
