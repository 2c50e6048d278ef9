/*
 * The archive in an object that a command has opened, whoever wrote it.
 */
#ifndef LARDER_TOOLS_OPEN_ARCHIVE_H
#define LARDER_TOOLS_OPEN_ARCHIVE_H

#include "archive/archive.h"
#include "fetch/settings.h"
#include "tools/session.h"

/* archive_open_any() for a command: object (borrowed) is fresh and has its tail; what is
 * left out of a foreign archive is warned of. With `anew` the cache is not looked into.
 * Converting may take long, so a deadline holds only if --timeout was given. */
int open_archive(const struct session *s, const struct settings *settings,
	const char *key, struct object *object, bool anew, struct archive **ret,
	struct range_source **ret_local, struct error *e);

#endif
