#include "fs/attributes.h"

#include "fs/inode.h"

#define DIRECTORY_BASE  40 /* as tmpfs counts: twenty for each of "." and ".." */
#define DIRECTORY_CHILD 20

uint64_t attributes_inode(const struct index *ix, uint32_t slot, uint32_t entry)
{
	return inode_make(slot, index_primary(ix, entry));
}

static mode_t shown_mode(mode_t mode, bool preserve)
{
	if (S_ISLNK(mode))
		return S_IFLNK | 0777;
	if (!preserve && !S_ISDIR(mode))
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	return mode;
}

static off_t shown_size(const struct entry_info *info)
{
	if (S_ISDIR(info->mode))
		return (off_t)(DIRECTORY_BASE + DIRECTORY_CHILD * info->size);
	return (off_t)info->size;
}

void attributes_of_entry(const struct index *ix, uint32_t entry, uint64_t inode,
	const struct owner_policy *owner, struct stat *ret)
{
	struct entry_info info;
	index_info(ix, entry, &info);
	bool archived = owner->preserve && info.has_owner;
	*ret = (struct stat){
		.st_ino = inode,
		.st_mode = shown_mode(info.mode, owner->preserve),
		.st_nlink = info.nlink,
		.st_uid = archived ? info.uid : owner->uid,
		.st_gid = archived ? info.gid : owner->gid,
		.st_size = shown_size(&info),
		.st_blksize = ATTRIBUTES_BLOCK,
		.st_blocks = S_ISREG(info.mode) ? (blkcnt_t)((info.size + 511) / 512) : 0,
		.st_mtim = info.mtime,
		.st_atim = info.mtime,
		.st_ctim = info.mtime,
	};
}

void attributes_of_directory(uint64_t inode, int64_t mtime_s,
	const struct owner_policy *owner, struct stat *ret)
{
	*ret = (struct stat){
		.st_ino = inode,
		.st_mode = S_IFDIR | 0755,
		.st_nlink = 1,
		.st_uid = owner->uid,
		.st_gid = owner->gid,
		.st_size = DIRECTORY_BASE,
		.st_blksize = ATTRIBUTES_BLOCK,
		.st_mtim.tv_sec = mtime_s,
		.st_atim.tv_sec = mtime_s,
		.st_ctim.tv_sec = mtime_s,
	};
}

void attributes_at_doorway(const struct timespec *changed, struct stat *ret)
{
	ret->st_size = DIRECTORY_BASE;
	ret->st_ctim = *changed;
}
