#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/mount_ask.h"
#include "fs/ops_impl.h"
#include "fs/status.h"

/* The two-step protocol of getxattr(2): size 0 asks for the length. */
static void answer_value(fuse_req_t req, const void *value, size_t len, size_t size)
{
	if (!size)
		fuse_reply_xattr(req, len);
	else if (len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, len);
}

static bool wants_status(const struct place *p, const char *name)
{
	return !p->slot &&
	       (strcmp(name, MOUNT_STATUS) == 0 || strcmp(name, MOUNT_SUMMARY) == 0);
}

static void answer_status(
	fuse_req_t req, struct larderfs *l, const char *name, size_t size)
{
	char *text = NULL;
	size_t len;
	int r = strcmp(name, MOUNT_STATUS) == 0 ? status_json(l, &text, &len)
						: status_summary(l, &text, &len);
	if (r < 0)
		ops_lack_memory(req);
	else if (!size)
		fuse_reply_xattr(
			req, STATUS_MAX); /* it may have grown when it is asked for */
	else
		answer_value(req, text, len, size);
	free(text);
}

/* Whatever the inode: it may be all of the mount that is mounted elsewhere, too. */
static void answer_overwrites(fuse_req_t req, struct larderfs *l, size_t size)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu",
		(unsigned long long)history_overwrites(&l->history));
	answer_value(req, text, (size_t)len, size);
}

/* The entry that an inode stands for, in its generation; false: there is none (yet).
 * *held is a reference to be dropped, or NULL. */
static bool entry_of(const struct place *p, struct generation **held,
	const struct index **ret_index, uint32_t *ret_entry)
{
	*held = NULL;
	*ret_entry = 0;
	if (p->slot) {
		*ret_index = generation_index(p->generation);
		*ret_entry = p->number;
		return true;
	}
	*held = p->shown.doorway ? doorway_current(p->shown.doorway) : NULL;
	if (*held)
		*ret_index = generation_index(*held);
	return *held;
}

static void answer_archived(
	fuse_req_t req, const struct place *p, const char *wanted, size_t size)
{
	CLEANUP(cleanup_generation) struct generation *held = NULL;
	const struct index *ix;
	uint32_t entry;
	size_t cursor = 0, name_len, value_len;
	const char *name;
	const void *value;
	bool more = entry_of(p, &held, &ix, &entry);
	while (more && index_xattr_next(ix, entry, &cursor, &name, &name_len, &value,
			       &value_len)) {
		if (strlen(wanted) != name_len || memcmp(wanted, name, name_len) != 0)
			continue;
		answer_value(req, value, value_len, size);
		return;
	}
	fuse_reply_err(req, ENODATA);
}

void ops_getxattr(fuse_req_t req, fuse_ino_t inode, const char *name, size_t size)
{
	struct larderfs *l = ops_fs(req);
	struct place p;
	int r = ops_place(l, inode, &p);
	if (r)
		fuse_reply_err(req, r);
	else if (wants_status(&p, name))
		answer_status(req, l, name, size);
	else if (strcmp(name, MOUNT_OVERWRITES) == 0)
		answer_overwrites(req, l, size);
	else
		answer_archived(req, &p, name, size);
}

/* The names, each with its NUL. into NULL: only their length. */
static size_t put_names(const struct index *ix, uint32_t entry, char *into)
{
	size_t cursor = 0, used = 0, name_len, value_len;
	const char *name;
	const void *value;
	while (index_xattr_next(
		ix, entry, &cursor, &name, &name_len, &value, &value_len)) {
		if (into) {
			memcpy(into + used, name, name_len);
			into[used + name_len] = '\0';
		}
		used += name_len + 1;
	}
	return used;
}

void ops_listxattr(fuse_req_t req, fuse_ino_t inode, size_t size)
{
	struct place p;
	int r = ops_place(ops_fs(req), inode, &p);
	if (r) {
		fuse_reply_err(req, r);
		return;
	}
	CLEANUP(cleanup_generation) struct generation *held = NULL;
	CLEANUP(cleanup_free) char *names = NULL;
	const struct index *ix;
	uint32_t entry;
	size_t len = 0;
	if (entry_of(&p, &held, &ix, &entry)) {
		len = put_names(ix, entry, NULL);
		names = malloc(len ? len : 1);
		if (names)
			put_names(ix, entry, names);
	}
	if (len && !names)
		ops_lack_memory(req);
	else
		answer_value(req, names, len, size);
}
