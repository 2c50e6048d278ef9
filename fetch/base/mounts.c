#include "fetch/base/mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"

#define MOUNTINFO_MAX (16u << 20) /* bytes */

/* Does the escaped word (\040 for a space and so on) of len bytes spell path? */
static bool word_is(const char *word, size_t len, const char *path)
{
	const char *end = word + len;
	while (word < end && *path) {
		char c = *word++;
		if (c == '\\' && end - word >= 3) {
			c = (char)((word[0] - '0') << 6 | (word[1] - '0') << 3 |
				(word[2] - '0'));
			word += 3;
		}
		if (c != *path++)
			return false;
	}
	return word == end && !*path;
}

/* The nth word of a line, counted from 0. */
static const char *nth_word(const char *line, unsigned n, size_t *ret_len)
{
	while (n-- > 0) {
		line += strcspn(line, " \n");
		line += *line == ' ';
	}
	*ret_len = strcspn(line, " \n");
	return line;
}

/* "36 35 98:0 /root /mountpoint options optional... - type source super" */
static void parse_line(const char *line, const char *path, struct mount_facts *ret)
{
	size_t len;
	const char *word = nth_word(line, 4, &len);
	if (!word_is(word, len, path))
		return;
	const char *end = strchrnul(line, '\n');
	const char *dash = strstr(line, " - ");
	if (!dash || dash > end)
		return;
	len = strcspn(dash + 3, " \n");
	ret->mounted = true;
	snprintf(ret->type, sizeof(ret->type), "%.*s", (int)len, dash + 3);
	word = nth_word(line, 2, &len);
	snprintf(ret->device, sizeof(ret->device), "%.*s", (int)len, word);
}

void mount_facts_parse(const char *text, const char *path, struct mount_facts *ret)
{
	*ret = (struct mount_facts){ 0 };
	for (const char *line = text; *line;) {
		parse_line(line, path, ret);
		line = strchrnul(line, '\n');
		line += *line == '\n';
	}
}

int mount_facts_of(const char *path, struct mount_facts *ret, struct error *e)
{
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	int r = read_small_file("/proc/self/mountinfo", MOUNTINFO_MAX, &text, &len);
	if (r < 0)
		return error_set_errno(e, r, "cannot read '/proc/self/mountinfo'");
	mount_facts_parse(text, path, ret);
	return 0;
}

int mountpoint_resolve(const char *path, char *ret, struct error *e)
{
	char copy[PATH_MAX];
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	if (!len || len >= sizeof(copy))
		return error_set(e, -EINVAL, "'%s' is no path", path);
	memcpy(copy, path, len);
	copy[len] = '\0';
	char *slash = strrchr(copy, '/');
	const char *last = slash ? slash + 1 : copy;
	/* "." and "..": only the kernel knows their names */
	bool whole = !*last || !strcmp(last, ".") || !strcmp(last, "..");
	const char *parent = whole ? copy : slash == copy ? "/" : slash ? copy : ".";
	if (slash && !whole && slash != copy)
		*slash = '\0';
	char resolved[PATH_MAX];
	if (!realpath(parent, resolved))
		return error_set_errno(e, -errno, "'%s'", path);
	const char *join = !strcmp(resolved, "/") ? "" : resolved;
	int n = whole ? snprintf(ret, PATH_MAX, "%s", resolved) :
			snprintf(ret, PATH_MAX, "%s/%s", join, last);
	return n >= PATH_MAX ? error_set(e, -ENAMETOOLONG, "'%s' is too long", path) : 0;
}
