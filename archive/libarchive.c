#include "archive/libarchive.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#define LIBRARY "libarchive.so.13"
#define PACKAGE "libarchive13"

struct libarchive la;

static pthread_once_t loading = PTHREAD_ONCE_INIT;
static char failure[256]; /* "": it is loaded */

static void fail(void)
{
	const char *words = dlerror();
	snprintf(failure, sizeof(failure), "%s", words ? words : LIBRARY);
}

/* What the linker would have done. It stays loaded for ever. */
static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fail();
		return;
	}
#define FIND(name)                                                                       \
	la.name = (__typeof__(la.name))dlsym(library, "archive_" #name);                 \
	if (!la.name && !failure[0])                                                     \
		fail();
	LIBARCHIVE_FUNCTIONS(FIND)
#undef FIND
}

int libarchive_load(struct error *e)
{
	pthread_once(&loading, load);
	if (!failure[0])
		return 0;
	return error_set(e, -ELIBACC,
		"it is none of Larder's own, and libarchive, which reads the others, "
		"cannot be loaded (%s); install the package '" PACKAGE "'",
		failure);
}

static const char *why(struct archive *reader)
{
	const char *words = la.error_string(reader);
	return words ? words : "it does not say why";
}

int libarchive_teach(struct archive *reader, const struct libarchive_skill *skills,
	size_t count, struct error *e)
{
	for (size_t i = 0; i < count; i++) {
		int code = skills[i].teach(reader);
		if (code == ARCHIVE_FATAL) /* it has no memory, it says */
			return -ENOMEM;
		if (code != ARCHIVE_OK)
			return error_set(e, -ELIBACC,
				"this libarchive cannot read %s by itself: %s",
				skills[i].name, why(reader));
	}
	return 0;
}
