/*
 * What the ops_*.c files share; included by them only.
 */
#ifndef LARDER_FS_OPS_IMPL_H
#define LARDER_FS_OPS_IMPL_H

#include "fs/inode.h"
#include "fs/larderfs.h"
#include "fs/ops.h"

/* Seconds that the kernel may keep what it was told. */
#define KEEP_FOREVER           1e9 /* inside a generation: it never changes */
#define KEEP_KEYSPACE          ((double)KEYSPACE_FRESH_NS / NS_PER_SECOND)
#define KEEP_UNOPENED          1.0 /* attributes of a doorway that was not opened */
#define KEEP_ABSENT_AT_DOORWAY 1.0

/* An inode taken apart and looked up. */
struct place {
	uint32_t slot;
	uint32_t number;               /* entry or node */
	struct generation *generation; /* slot > 0; lives until the request is answered */
	struct shown shown;            /* slot 0 */
};

static inline struct larderfs *ops_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* 0, or a positive errno: ESTALE for an inode that is none of ours. */
int ops_place(struct larderfs *l, uint64_t inode, struct place *ret);

/* Runs a copy of the request's words through the gate. job->subject, offset and size say
 * what it is about, and so what deadline it gets. */
void ops_run_job(fuse_req_t req, const struct job *job);

/* Answers a job that has failed: says aloud why, unless nobody is at fault, notes the
 * setback, and returns the errno for the caller. about: words before the sentence. */
int ops_explain(const struct job *job, const char *key, int code, const char *about,
	const struct error *e, int (*errno_of)(int code));

/* Waits until shown's doorway is open. 0, with a reference; else the errno for the
 * caller, explained as ops_explain() does. */
int ops_open_doorway(
	const struct job *job, const struct shown *shown, struct generation **ret);

/* Answers with EIO, and says why. */
void ops_lack_memory(fuse_req_t req);

/* Fills what fuse_reply_entry() needs for an entry; counts nothing. */
void ops_entry_param(struct larderfs *l, struct generation *g, uint32_t entry,
	struct fuse_entry_param *ret);

/* The attributes of a node, and how long they may be kept. */
double ops_node_attributes(
	struct larderfs *l, const struct shown *shown, struct stat *ret);

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_readdir(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
	struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
	struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
	struct fuse_file_info *fi);
void ops_getxattr(fuse_req_t req, fuse_ino_t inode, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t inode, size_t size);

#endif
