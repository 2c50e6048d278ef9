/*
 * Key templates: 'npm-{{ os }}-{{ arch }}-{{ checksum "package-lock.json" }}'.
 *
 * Text outside {{ }} stands for itself. Inside is one function and its arguments, in
 * "double" (with \" and \\) or 'single' quotes:
 *
 *   os                      linux                       (uname's sysname in lower case)
 *   arch                    amd64, arm64, ...           (uname's machine, Debian's names)
 *   env "NAME" ["DEFAULT"]  the variable; without DEFAULT an unset one is an error
 *   checksum "GLOB" ...     SHA-256 of the files that match: of one file what sha256sum
 *                           prints, of several that of sha256sum's lines for them, sorted
 *   epoch                   seconds since 1970, now
 *
 * Expansion is pure but for the facts it is given, so that it can be tested.
 */
#ifndef LARDER_TOOLS_KEY_TEMPLATE_H
#define LARDER_TOOLS_KEY_TEMPLATE_H

#include <stdint.h>

#include "fetch/base/buf.h"
#include "fetch/base/error.h"

#define KEY_TEMPLATE_ARGS 32 /* most arguments of one function */

struct key_facts {
	const char *os;
	const char *arch;
	int64_t now_s;
	/* NULL when unset. */
	const char *(*variable)(void *arg, const char *name);
	/* Appends 64 hex digits for the files that match the count globs; -ENOENT when
	 * one matches nothing, -errno when a file cannot be read; fills e. */
	int (*checksum)(void *arg, const char *const *globs, size_t count, struct buf *ret,
		struct error *e);
	void *arg;
};

/* Appends the expansion to ret. 0; -EINVAL naming what is wrong with the template, an
 * unset variable or a glob without a file; -EMSGSIZE past ret's cap; -ENOMEM; checksum's
 * errors. The result is not checked as a key. */
int key_template_expand(const char *template, const struct key_facts *facts,
	struct buf *ret, struct error *e);

#endif
