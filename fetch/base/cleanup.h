/*
 * Scope-bound cleanup.
 *
 * A variable marked CLEANUP(fn) has fn(&variable) called when it leaves scope. Every such
 * function accepts a pointer to NULL (or to a zeroed or half-built object), so that a
 * failing function can simply return. steal_pointer() hands ownership out of the scope.
 */
#ifndef LARDER_FETCH_BASE_CLEANUP_H
#define LARDER_FETCH_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Takes the pointer out of its variable, which becomes NULL. */
#define steal_pointer(p)                                                                 \
	({                                                                               \
		__typeof__(p) stolen_ = (p);                                             \
		(p) = NULL;                                                              \
		stolen_;                                                                 \
	})

/* Takes the descriptor out of its variable, which becomes -1. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

/* Defines NAME(TYPE **p), which calls FREE(*p) and clears the variable. */
#define DEFINE_CLEANUP(name, type, free_fn)                                              \
	static inline void name(type **p)                                                \
	{                                                                                \
		free_fn(*p);                                                             \
		*p = NULL;                                                               \
	}                                                                                \
	struct cleanup_swallows_semicolon_

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

/* Closes a descriptor that is not negative; errno survives. */
static inline void cleanup_close(int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
	*f = NULL;
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

#endif
