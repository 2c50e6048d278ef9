/*
 * What went wrong: a code for the program, a sentence for the person.
 *
 * Functions return 0 or a negative errno. Those that can fail for reasons a person must
 * understand also take a `struct error *`, which may be NULL, and fill it with one
 * sentence that names the object concerned in 'quotes'. The sentence has no trailing
 * full stop and no line break, and never holds a secret; bytes from outside that are not
 * printable are shown escaped.
 *
 * The codes with one meaning throughout Larder (docs/errors.md maps them to exit codes
 * and to what a reader of the mount gets):
 *
 *   -ENOENT        the key or object does not exist: a miss
 *   -ESTALE        the object is no longer the version that was pinned
 *   -EBADMSG       remote or stored bytes are corrupt, hostile or of an unknown kind
 *   -EBUSY         the directory changed while it was being packed
 *   -EKEYREJECTED  the store refused the credentials
 *   -EOPNOTSUPP    the store does not honour conditional writes
 *   -EEXIST        the key is already published
 *   -ETIMEDOUT     the deadline passed
 *   -ECANCELED     the caller gave up (a signal, an interrupted system call)
 *   -EINVAL        the caller's words are wrong: usage or configuration
 *   -ENOMEM        out of memory
 *   any other      it failed: network, store, disk
 */
#ifndef LARDER_FETCH_BASE_ERROR_H
#define LARDER_FETCH_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#define ERROR_TEXT_SIZE 768 /* bytes, the NUL included; a longer sentence is cut */

struct error {
	int code; /* what the function returned; 0 while nothing went wrong */
	char text[ERROR_TEXT_SIZE];
};

/* Fills *e (which may be NULL) and returns code, so that callers can return it on. */
int error_set(struct error *e, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Same, with ": " and strerror(-code) appended. */
int error_set_errno(struct error *e, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts words in front of the sentence that is there; the code stays. Returns e->code. */
int error_prefix(struct error *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* For what the system said of a file, e.g. of one that is packed: -EIO where it would be
 * taken for what such a code means throughout Larder. Returns the code, and puts it into
 * *e (which may be NULL); the sentence stays. */
int error_recode(int code, struct error *e);

/* Copies src over dst; either may be NULL. */
void error_copy(struct error *dst, const struct error *src);

#endif
