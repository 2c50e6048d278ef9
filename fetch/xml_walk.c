#include "fetch/xml_walk.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/base/buf.h"
#include "fetch/secret.h"

struct walk {
	XML_Parser parser;
	xml_visit_fn *visit;
	void *arg; /* borrowed */
	int result;
	char path[XML_PATH_MAX];
	size_t path_len;
	size_t depth;
	struct level {
		size_t path_len; /* of the path up to the parent */
		size_t text_at;  /* where this element's text begins in `text` */
	} levels[XML_DEPTH_MAX];
	struct buf text; /* the texts of all open elements, innermost last */
};

/* The first failure stands; expat may still deliver an event after the stop. */
static void stop(struct walk *w, int result)
{
	if (w->result == 0)
		w->result = result;
	XML_StopParser(w->parser, XML_FALSE);
}

static const char *local_name(const char *name)
{
	const char *colon = strrchr(name, ':');
	return colon ? colon + 1 : name;
}

static int enter(struct walk *w, const char *name)
{
	size_t slash = w->depth > 0, len = strlen(name);
	if (w->depth == XML_DEPTH_MAX || len + slash >= XML_PATH_MAX - w->path_len)
		return -EBADMSG;
	w->levels[w->depth++] = (struct level){w->path_len, w->text.len};
	if (slash)
		w->path[w->path_len++] = '/';
	memcpy(w->path + w->path_len, name, len + 1);
	w->path_len += len;
	return 0;
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct walk *w = arg;
	int r = w->result ? w->result : enter(w, local_name(name));
	if (r < 0)
		stop(w, r);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int leave(struct walk *w)
{
	const struct level *level = &w->levels[--w->depth];
	size_t begin = level->text_at, end = w->text.len;
	while (begin < end && is_blank(w->text.data[begin]))
		begin++;
	while (begin < end && is_blank(w->text.data[end - 1]))
		end--;
	const char *text = "";
	if (begin < end) {
		w->text.data[end] = '\0';
		text = w->text.data + begin;
	}
	int r = w->visit(w->arg, w->path, text, end - begin);
	w->text.len = level->text_at;
	w->path_len = level->path_len;
	w->path[w->path_len] = '\0';
	return r;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct walk *w = arg;
	int r = w->result ? w->result : leave(w);
	if (r != 0)
		stop(w, r);
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct walk *w = arg;
	int r = buf_append(&w->text, text, (size_t)len);
	if (r < 0)
		stop(w, r == -EMSGSIZE ? -EBADMSG : r);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
	const XML_Char *public_id, int has_internal_subset)
{
	stop(arg, -EBADMSG);
}

static int parse(struct walk *w, const char *data, size_t len)
{
	if (len > INT_MAX)
		return -EBADMSG;
	XML_SetUserData(w->parser, w);
	XML_SetElementHandler(w->parser, on_start, on_end);
	XML_SetCharacterDataHandler(w->parser, on_text);
	XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
	enum XML_Status status = XML_Parse(w->parser, data, (int)len, 1);
	if (w->result != 0 || status == XML_STATUS_OK)
		return w->result;
	return XML_GetErrorCode(w->parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EBADMSG;
}

int xml_walk(const void *data, size_t len, xml_visit_fn *visit, void *arg)
{
	const char *p = data;
	while (len > 0 && is_blank(*p))
		p++, len--;
	struct walk w = {
		.visit = visit,
		.arg = arg,
		.text = BUF_INIT(XML_TEXT_MAX),
		.parser = XML_ParserCreate("UTF-8"),
	};
	if (!w.parser)
		return -ENOMEM;
	int r = parse(&w, p, len);
	XML_ParserFree(w.parser);
	secret_buf_finish(&w.text); /* STS answers with secrets */
	return r;
}
