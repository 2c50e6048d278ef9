#include "fetch/base/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/io.h"
#include "fetch/base/mount_ask.h"

#define MOUNTINFO_MAX (16u << 20) /* bytes */
#define LINKS_MAX     40          /* in a row, as the kernel has it */

/* Undoes the escapes (\\040 for a space and so on) of len bytes. */
static void unescape(const char *word, size_t len, char *ret, size_t size)
{
	const char *end = word + len;
	size_t n = 0;
	while (word < end && n + 1 < size) {
		ret[n] = *word++;
		if (ret[n] == '\\' && end - word >= 3) {
			ret[n] = (char)((word[0] - '0') << 6 | (word[1] - '0') << 3 |
				(word[2] - '0'));
			word += 3;
		}
		n++;
	}
	ret[n] = '\0';
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

/* user_id= among a super block's options; -1 without. */
static int64_t read_user(const char *options, size_t len)
{
	const char *end = options + len;
	const char *name = "user_id=";
	while (options < end) {
		size_t word = strcspn(options, ", \n");
		if (!strncmp(options, name, strlen(name)))
			return strtoll(options + strlen(name), NULL, 10);
		options += word + 1;
	}
	return -1;
}

/* "36 35 98:0 /root /mountpoint options optional... - type source super"; false for a line
 * that is none. */
static bool parse_line(const char *line, struct mount_line *ret)
{
	size_t len;
	const char *end = strchrnul(line, '\n');
	const char *dash = strstr(line, " - ");
	if (!dash || dash > end)
		return false;
	const char *word = nth_word(line, 4, &len);
	unescape(word, len, ret->mountpoint, sizeof(ret->mountpoint));
	len = strcspn(dash + 3, " \n");
	snprintf(ret->type, sizeof(ret->type), "%.*s", (int)len, dash + 3);
	word = nth_word(line, 2, &len);
	snprintf(ret->device, sizeof(ret->device), "%.*s", (int)len, word);
	word = nth_word(dash + 3, 1, &len);
	unescape(word, len, ret->source, sizeof(ret->source));
	word = nth_word(dash + 3, 2, &len);
	ret->user = read_user(word, len);
	return true;
}

static const char *next_line(const char *line)
{
	line = strchrnul(line, '\n');
	return line + (*line == '\n');
}

void mount_facts_parse(const char *text, const char *path, struct mount_facts *ret)
{
	struct mount_line m;
	*ret = (struct mount_facts){ .user = -1 };
	for (const char *line = text; *line; line = next_line(line)) {
		if (!parse_line(line, &m) || strcmp(m.mountpoint, path) != 0)
			continue;
		ret->mounted = true;
		ret->user = m.user;
		memcpy(ret->type, m.type, sizeof(ret->type));
		memcpy(ret->device, m.device, sizeof(ret->device));
		memcpy(ret->source, m.source, sizeof(ret->source));
	}
}

static int read_mountinfo(char **ret, struct error *e)
{
	size_t len;
	int r = read_small_file("/proc/self/mountinfo", MOUNTINFO_MAX, ret, &len);
	return r < 0 ? error_set_errno(e, r, "cannot read '/proc/self/mountinfo'") : 0;
}

int mount_facts_of(const char *path, struct mount_facts *ret, struct error *e)
{
	CLEANUP(cleanup_free) char *text = NULL;
	int r = read_mountinfo(&text, e);
	if (r == 0)
		mount_facts_parse(text, path, ret);
	return r;
}

int mount_place_parse(const char *text, const char *device, char *ret)
{
	struct mount_line m;
	int r = -ENOENT;
	for (const char *line = text; *line; line = next_line(line)) {
		if (!parse_line(line, &m) || strcmp(m.device, device) != 0)
			continue;
		memcpy(ret, m.mountpoint, sizeof(m.mountpoint));
		r = 0;
	}
	return r;
}

bool mounts_have(const char *text, const char *device, const char *type)
{
	struct mount_line m;
	for (const char *line = text; *line; line = next_line(line))
		if (parse_line(line, &m) && !strcmp(m.device, device) &&
			!strcmp(m.type, type))
			return true;
	return false;
}

int mount_place_of(const char *device, char *ret, struct error *e)
{
	CLEANUP(cleanup_free) char *text = NULL;
	int r = read_mountinfo(&text, e);
	if (r == 0)
		r = mount_place_parse(text, device, ret);
	return r == -ENOENT ? error_set(e, r, "device %s is mounted nowhere", device) : r;
}

int mounts_each(
	void (*fn)(void *arg, const struct mount_line *m), void *arg, struct error *e)
{
	CLEANUP(cleanup_free) char *text = NULL;
	struct mount_line m;
	int r = read_mountinfo(&text, e);
	if (r < 0)
		return r;
	for (const char *line = text; *line; line = next_line(line))
		if (parse_line(line, &m))
			fn(arg, &m);
	return 0;
}

/* Symlinks in all but the last component. name: what error sentences call it. */
static int resolve_parent(
	const char *path, const char *name, char *ret, struct error *e)
{
	char copy[PATH_MAX];
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	if (!len || len >= sizeof(copy))
		return error_set(e, -EINVAL, "'%s' is no path", name);
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
		return error_set_errno(e, -errno, "'%s'", name);
	const char *join = !strcmp(resolved, "/") ? "" : resolved;
	int n = whole ? snprintf(ret, PATH_MAX, "%s", resolved) :
			snprintf(ret, PATH_MAX, "%s/%s", join, last);
	return n >= PATH_MAX ? error_set(e, -ENAMETOOLONG, "'%s' is too long", name) : 0;
}

/* Puts a symlink's target in its place; both buffers are of PATH_MAX bytes. */
static int take_target(char *link, const char *target)
{
	size_t above = *target == '/' ? 0 : (size_t)(strrchr(link, '/') + 1 - link);
	if (above + strlen(target) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(link + above, target);
	return 0;
}

/* readlink(2) asks nobody about what is mounted there. */
int mountpoint_resolve(const char *path, char *ret, struct error *e)
{
	char at[PATH_MAX], target[PATH_MAX];
	int r = resolve_parent(path, path, at, e);
	for (unsigned links = 0; r == 0; links++) {
		ssize_t len = readlink(at, target, sizeof(target) - 1);
		if (len < 0)
			break; /* the end of them, whatever is there */
		target[len] = '\0';
		r = links < LINKS_MAX ? take_target(at, target) : -ELOOP;
		if (r < 0)
			return error_set_errno(e, r, "'%s'", path);
		strcpy(target, at);
		r = resolve_parent(target, path, at, e);
	}
	if (r == 0)
		strcpy(ret, at);
	return r;
}

static int check_empty(const char *path, struct error *e)
{
	CLEANUP(cleanup_closedir) DIR *d = opendir(path);
	if (!d)
		return error_set(e, -EINVAL, "cannot look into the mountpoint '%s': %s",
			path, strerror(errno));
	const struct dirent *entry;
	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return error_set(e, -EINVAL,
				"the mountpoint '%s' is not empty: it holds '%s'; empty "
				"it, or name another",
				path, entry->d_name);
	return 0;
}

int mount_ask_daemon(const char *path, const char *daemon, const char *name, int stop,
	char **ret, size_t *ret_len)
{
	struct mount_facts facts;
	if (strcmp(path, daemon) != 0 && mount_facts_of(daemon, &facts, NULL) == 0 &&
		!facts.mounted)
		return -ENOTCONN;
	return mount_ask(daemon, name, stop, ret, ret_len);
}

int mount_demand_alive(const char *path, const char *daemon, int stop, struct error *e)
{
	/* stat(2) may still be answered by the kernel, from what it has cached */
	CLEANUP(cleanup_free) char *text = NULL;
	size_t len;
	int r = mount_ask_daemon(path, daemon, MOUNT_STATUS, stop, &text, &len);
	switch (r) {
	case -ENOTCONN:
		return error_set(e, r,
			"'%s' is mounted by a larderfs that is gone; 'larder umount %s' "
			"clears it away",
			path, path);
	case -ETIMEDOUT:
		return error_set(e, r,
			"'%s' is mounted by a larderfs that does not answer; 'larder "
			"umount --lazy %s' clears it away",
			path, path);
	case -ECANCELED:
		return error_set(e, r, "interrupted while asking '%s'", path);
	default:
		return 0;
	}
}

int mountpoint_refuse(const char *path, const char *daemon, int stop, struct error *e)
{
	int r = mount_demand_alive(path, daemon, stop, e);
	if (r < 0)
		return r == -ECANCELED ? r : -EINVAL;
	return error_set(e, -EINVAL,
		"'%s' is a mount of larderfs already; 'larder umount %s' unmounts it",
		path, path);
}

/* The mount's type is looked at first: a dead daemon's answers every other question with
 * ENOTCONN. */
static int check_not_mounted(const char *path, struct error *e)
{
	struct mount_facts facts;
	int r = mount_facts_of(path, &facts, e);
	if (r < 0)
		return r;
	if (!facts.mounted || strcmp(facts.type, "fuse.larderfs") != 0)
		return 0;
	return mountpoint_refuse(path, path, -1, e);
}

int mountpoint_demand(const char *path, char *ret, struct error *e)
{
	char real[PATH_MAX];
	struct stat st;
	if (mountpoint_resolve(path, real, e) < 0)
		return error_prefix(e, "the mountpoint "), -EINVAL;
	int r = check_not_mounted(real, e);
	if (r < 0)
		return r;
	if (stat(real, &st) < 0 && errno == ENOENT)
		return error_set(e, -EINVAL,
			"the mountpoint '%s' does not exist; make it: mkdir -p '%s'",
			path, path);
	if (stat(real, &st) < 0)
		return error_set(
			e, -EINVAL, "the mountpoint '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(e, -EINVAL, "the mountpoint '%s' is no directory", real);
	r = check_empty(real, e);
	if (r == 0)
		strcpy(ret, real);
	return r;
}
