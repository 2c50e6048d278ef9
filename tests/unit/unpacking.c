#include "tests/unit/unpacking.h"

#include <errno.h>

static void warn(void *arg, const char *sentence)
{
	struct unpacking *u = arg;
	snprintf(u->warning, sizeof(u->warning), "%s", sentence);
}

static void progress(void *arg, const struct unpack_progress *p)
{
	struct unpacking *u = arg;
	u->progress = *p;
}

void unpacking_init(struct unpacking *u)
{
	*u = (struct unpacking){
		.builder = builder_new(),
		.object = BUF_INIT((size_t)1 << 30),
		.dir = scratch_new(),
		.options = {.warn = warn, .progress = progress, .arg = u},
	};
}

void unpacking_lay(struct unpacking *u)
{
	builder_lay(u->builder);
	builder_object(u->builder, &u->object);
	scripted_init(&u->source, u->object.data, u->object.len);
	assert_int_equal(archive_load(&u->source.base, CALL_PATIENT, u->object.data,
				 u->object.len, "key", &u->archive, NULL, NULL),
		0);
}

void unpacking_finish(struct unpacking *u)
{
	archive_free(u->archive);
	scripted_finish(&u->source);
	buf_finish(&u->object);
	builder_free(u->builder);
	scratch_finish(&u->dir);
	free(u->large);
}

int unpacking_run(struct unpacking *u, const char *name)
{
	return unpack_archive(u->archive, &u->source.base, CALL_PATIENT,
		scratch_path(&u->dir, name), &u->options, &u->e);
}

struct stat unpacking_look(const struct unpacking *u, const char *name)
{
	struct stat st;
	if (lstat(scratch_path(&u->dir, name), &st) < 0)
		fail_msg("%s: %s", name, strerror(errno));
	return st;
}
