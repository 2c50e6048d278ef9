/*
 * An XML document as a run of (path, text): all that S3's small answers need.
 *
 * For every element, when it ends, the visitor is told its path ("Error/Code"), local
 * names without namespace prefixes, and its own text, blanks at both ends taken off.
 *
 * The bytes are hostile. A document type declaration is refused, so there are no entities
 * but the five of XML 1.0 and character references; the depth, the length of a path and
 * the length of one text are capped; a NUL cannot occur. Pure; the parser is expat.
 */
#ifndef LARDER_FETCH_XML_WALK_H
#define LARDER_FETCH_XML_WALK_H

#include <stddef.h>

#define XML_DEPTH_MAX 16
#define XML_PATH_MAX  256         /* bytes, the NUL included */
#define XML_TEXT_MAX  (16u << 10) /* bytes */

/* text is NUL-terminated, UTF-8 and borrowed for the call. Non-zero ends the walk and is
 * returned by it. */
typedef int xml_visit_fn(void *arg, const char *path, const char *text, size_t len);

/* Blanks before the document are skipped (S3 sends them to keep a connection alive).
 * 0; -EBADMSG: not well-formed, a cap was passed, or a document type declaration;
 * -ENOMEM; or what visit returned. */
int xml_walk(const void *data, size_t len, xml_visit_fn *visit, void *arg);

#endif
