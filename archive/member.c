#include "archive/member.h"

#include <string.h>

void member_init(struct member *m)
{
	*m = (struct member){
		.path = BUF_INIT(TREE_PATH_LIMIT),
		.target = BUF_INIT(TREE_PATH_LIMIT),
	};
}

void member_finish(struct member *m)
{
	buf_finish(&m->path);
	buf_finish(&m->target);
}

uint64_t member_content(const struct tree_entry *entry)
{
	bool has = S_ISREG(entry->mode) && entry->primary == TREE_NO_LINK;
	return has ? entry->size : 0;
}

static enum tar_type type_of(const struct tree_entry *entry)
{
	if (entry->primary != TREE_NO_LINK)
		return TAR_HARD_LINK;
	if (S_ISDIR(entry->mode))
		return TAR_DIRECTORY;
	return S_ISLNK(entry->mode) ? TAR_SYMLINK : TAR_FILE;
}

static int set_target(
	struct member *m, const struct tree *t, const struct tree_entry *entry)
{
	m->tar.target = "";
	m->tar.target_len = 0;
	if (m->tar.type == TAR_SYMLINK) {
		m->tar.target = entry->target;
		m->tar.target_len = entry->size;
	}
	if (m->tar.type != TAR_HARD_LINK)
		return 0;
	int r = tree_tar_path(t, entry->primary, &m->target);
	m->tar.target = buf_str(&m->target);
	m->tar.target_len = m->target.len;
	return r;
}

int member_set(struct member *m, const struct tree *t, uint32_t entry, bool owner)
{
	const struct tree_entry *from = tree_entry(t, entry);
	int r = tree_tar_path(t, entry, &m->path);
	if (r < 0)
		return r;
	m->tar = (struct tar_member){
		.type = type_of(from),
		.path = buf_str(&m->path),
		.path_len = m->path.len,
		.mode = from->mode & 07777,
		.uid = owner ? from->uid : 0,
		.gid = owner ? from->gid : 0,
		.size = member_content(from),
		.mtime_s = from->mtime_s,
		.mtime_ns = from->mtime_ns,
	};
	if (m->tar.type == TAR_FILE || m->tar.type == TAR_DIRECTORY)
		m->tar.xattrs = from->xattrs;
	return set_target(m, t, from);
}
