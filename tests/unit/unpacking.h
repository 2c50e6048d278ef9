/*
 * An archive that is laid out by a test, and a directory to unpack it in.
 *
 *     CLEANUP(unpacking_finish) struct unpacking u;
 *     unpacking_init(&u);
 *     builder_file(u.builder, "a", "x", 1);
 *     unpacking_lay(&u);
 *     unpacking_run(&u, "out");
 */
#ifndef LARDER_TESTS_UNIT_UNPACKING_H
#define LARDER_TESTS_UNIT_UNPACKING_H

#include "archive/unpack.h"
#include "tests/unit/archive_builder.h"
#include "tests/unit/scratch.h"
#include "tests/unit/scripted_source.h"

struct unpacking {
	struct archive_builder *builder; /* owned, as are the next four */
	struct buf object;
	struct scripted_source source;
	struct archive *archive; /* NULL until it is laid */
	struct scratch dir;
	struct unpack_options options;
	struct error e;
	char warning[512];               /* the last one, or "" */
	struct unpack_progress progress; /* told last */
	char *large;                     /* owned: content for the test, or NULL */
};

void unpacking_init(struct unpacking *u);
void unpacking_lay(struct unpacking *u);
void unpacking_finish(struct unpacking *u);

/* unpack_archive() to the name in the directory: what that returns. */
int unpacking_run(struct unpacking *u, const char *name);

/* lstat(2) of a name in the directory, which must be there. */
struct stat unpacking_look(const struct unpacking *u, const char *name);

#endif
