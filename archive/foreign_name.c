#include "archive/foreign_name.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "archive/format.h"

static enum foreign_name_fault check_component(
	const char *component, size_t len, bool first, bool *ret_vanishes)
{
	bool up = len == 2 && memcmp(component, "..", 2) == 0;
	*ret_vanishes = len == 0 || (len == 1 && *component == '.') || up;
	if (up && !first)
		return FOREIGN_NAME_ASCENDS;
	return len > NAME_LIMIT ? FOREIGN_NAME_LONG : FOREIGN_NAME_FINE;
}

static int append_component(struct buf *out, const char *component, size_t len)
{
	int r = out->len ? buf_append(out, "/", 1) : 0;
	return r < 0 ? r : buf_append(out, component, len);
}

static int refuse(enum foreign_name_fault why, enum foreign_name_fault *ret)
{
	*ret = why;
	return -EINVAL;
}

int foreign_name(
	const char *name, size_t len, struct buf *out, enum foreign_name_fault *ret_fault)
{
	buf_clear(out);
	if (len > FOREIGN_NAME_LIMIT)
		return refuse(FOREIGN_NAME_LONG, ret_fault);
	if (memchr(name, '\0', len))
		return refuse(FOREIGN_NAME_NUL, ret_fault);
	const char *end = name + len;
	unsigned parts = 0;
	for (const char *at = name; at < end;) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t part = (size_t)((slash ? slash : end) - at);
		bool vanishes;
		enum foreign_name_fault fault =
			check_component(at, part, out->len == 0, &vanishes);
		if (fault)
			return refuse(fault, ret_fault);
		parts += !vanishes;
		if (parts > DEPTH_LIMIT)
			return refuse(FOREIGN_NAME_DEEP, ret_fault);
		int r = vanishes ? 0 : append_component(out, at, part);
		if (r < 0)
			return r;
		at += part + 1;
	}
	return 0;
}

const char *foreign_name_reason(enum foreign_name_fault fault)
{
	switch (fault) {
	case FOREIGN_NAME_FINE:
		break;
	case FOREIGN_NAME_ASCENDS:
		return "its name goes up with '..'";
	case FOREIGN_NAME_LONG:
		return "its name is too long";
	case FOREIGN_NAME_DEEP:
		return "it lies below too many directories";
	case FOREIGN_NAME_NUL:
		return "its name holds a NUL";
	}
	return "its name cannot be read";
}
