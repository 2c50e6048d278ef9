#include "fetch/s3_error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/xml_walk.h"

static bool is_made_of(const char *text, const char *also)
{
	for (; *text; text++) {
		char c = *text;
		bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				    (c >= '0' && c <= '9');
		if (!alphanumeric && !strchr(also, c))
			return false;
	}
	return true;
}

static void set_word(
	char *field, size_t size, const char *text, size_t len, const char *also)
{
	if (len < size && is_made_of(text, also))
		memcpy(field, text, len + 1);
}

static void set_message(struct s3_error *error, const char *text, size_t len)
{
	if (len >= sizeof(error->message))
		len = sizeof(error->message) - 1;
	memcpy(error->message, text, len);
	error->message[len] = '\0';
}

static int visit(void *arg, const char *path, const char *text, size_t len)
{
	struct s3_error *error = arg;
	if (!strncmp(path, "ErrorResponse/", 14))
		path += 14;
	if (!strcmp(path, "Error/Code"))
		set_word(error->code, sizeof(error->code), text, len, ".");
	else if (!strcmp(path, "Error/Region"))
		set_word(error->region, sizeof(error->region), text, len, "-");
	else if (!strcmp(path, "Error/Message"))
		set_message(error, text, len);
	return 0;
}

int s3_error_parse(const void *data, size_t len, struct s3_error *ret)
{
	struct s3_error error = {0};
	int r = xml_walk(data, len, visit, &error);
	if (r == -ENOMEM)
		return r;
	*ret = error.code[0] ? error : (struct s3_error){0};
	return error.code[0] ? 0 : -EBADMSG;
}
