#include "fs/notifier.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fetch/base/lock.h"
#include "fetch/base/thread.h"
#include "fs/inode.h"

#define EXPIRE_SLACK NS_PER_SECOND
#define LAPSES_MOST  4096 /* queued at once; who asks faster keeps memory occupied */

struct notice {
	uint64_t inode;
	uint64_t due_ns;
	struct generation *old, *fresh; /* one reference each; NULL: a listing expires */
	struct notice *next;
	char name[]; /* not "": this name in it lapses, and no listing expires */
};

struct notifier {
	struct notifier_ops ops;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct notice *first; /* ascending due_ns; under lock */
	unsigned lapses;      /* how many of them; under lock */
	bool ending;          /* under lock */
	pthread_t thread;
};

static void notice_free(struct notice *n)
{
	generation_unref(n->old);
	generation_unref(n->fresh);
	free(n);
}

static void forget_children(
	struct notifier *n, uint64_t inode, const struct index *ix, uint32_t directory)
{
	uint32_t count;
	uint32_t first = index_children(ix, directory, &count);
	for (uint32_t i = 0; i < count; i++) {
		size_t len;
		const char *name = index_name(ix, first + i, &len);
		n->ops.forget_names(n->ops.arg, inode, name, len);
	}
}

static bool is_ending(struct notifier *n)
{
	LOCK_SCOPE(&n->lock);
	return n->ending;
}

/* The kernel drops what is below a forgotten name, except what is in use: that it keeps
 * under its own names, also when the use has ended, and the whole generation with it. */
static void forget_below(struct notifier *n, const struct generation *g)
{
	const struct index *ix = generation_index(g);
	uint32_t slot = generation_slot(g);
	for (uint32_t at = 1; at < index_count(ix); at++) {
		if (!S_ISDIR(index_mode(ix, at)))
			continue;
		if (!generation_known(g) || is_ending(n))
			return;
		forget_children(n, inode_make(slot, at), ix, at);
	}
}

static void follow(struct notifier *n, const struct notice *notice)
{
	n->ops.forget_inode(n->ops.arg, notice->inode);
	forget_children(n, notice->inode, generation_index(notice->old), 0);
	forget_children(n, notice->inode, generation_index(notice->fresh), 0);
	forget_below(n, notice->old);
}

static void carry_out(struct notifier *n, const struct notice *notice)
{
	if (notice->old)
		follow(n, notice);
	else if (notice->name[0])
		n->ops.forget_names(
			n->ops.arg, notice->inode, notice->name, strlen(notice->name));
	else
		n->ops.forget_inode(n->ops.arg, notice->inode);
}

/* The next notice that is due; NULL: it is the end. */
static struct notice *next_due(struct notifier *n)
{
	LOCK_SCOPE(&n->lock);
	while (!n->ending) {
		if (!n->first) {
			pthread_cond_wait(&n->changed, &n->lock);
		} else if (n->first->due_ns > clock_monotonic_ns()) {
			condition_wait_until(&n->changed, &n->lock, n->first->due_ns);
		} else {
			struct notice *notice = n->first;
			n->first = notice->next;
			n->lapses -= notice->name[0] != 0;
			return notice;
		}
	}
	return NULL;
}

static void *notify(void *arg)
{
	struct notifier *n = arg;
	struct notice *notice;
	while ((notice = next_due(n))) {
		carry_out(n, notice);
		notice_free(notice);
	}
	return NULL;
}

int notifier_new(const struct notifier_ops *ops, struct notifier **ret)
{
	struct notifier *n = malloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct notifier){.ops = *ops, .lock = PTHREAD_MUTEX_INITIALIZER};
	int r = condition_init(&n->changed);
	if (r == 0) {
		r = thread_start(&n->thread, notify, n);
		if (r < 0)
			pthread_cond_destroy(&n->changed);
	}
	if (r < 0)
		free(n);
	else
		*ret = n;
	return r;
}

static bool begin_end(struct notifier *n)
{
	LOCK_SCOPE(&n->lock);
	bool first = !n->ending;
	n->ending = true;
	pthread_cond_signal(&n->changed);
	return first;
}

void notifier_stop(struct notifier *n)
{
	if (n && begin_end(n))
		pthread_join(n->thread, NULL);
}

void notifier_free(struct notifier *n)
{
	if (!n)
		return;
	notifier_stop(n);
	while (n->first) {
		struct notice *notice = n->first;
		n->first = notice->next;
		notice_free(notice);
	}
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static void insert_locked(struct notifier *n, struct notice *notice)
{
	struct notice **at = &n->first;
	while (*at && (*at)->due_ns <= notice->due_ns)
		at = &(*at)->next;
	notice->next = *at;
	*at = notice;
	pthread_cond_signal(&n->changed);
}

/* NULL: out of memory. What is not said costs memory, or lets a listing age. */
static struct notice *notice_new(uint64_t inode, const char *name)
{
	size_t len = strlen(name);
	struct notice *notice = calloc(1, sizeof(*notice) + len + 1);
	if (!notice)
		return NULL;
	notice->inode = inode;
	memcpy(notice->name, name, len);
	return notice;
}

void notifier_succession(struct notifier *n, uint64_t doorway, struct generation *old,
	struct generation *fresh)
{
	struct notice *notice = notice_new(doorway, "");
	if (!notice)
		return; /* names then stay as long as the kernel likes to keep them */
	generation_ref(old);
	generation_ref(fresh);
	notice->old = old;
	notice->fresh = fresh;
	LOCK_SCOPE(&n->lock);
	insert_locked(n, notice);
}

/* One that comes not much earlier than this one would serves as well. */
static bool already_queued(const struct notifier *n, uint64_t inode, uint64_t due_ns)
{
	for (const struct notice *notice = n->first; notice; notice = notice->next)
		if (notice->inode == inode && !notice->old && !notice->name[0] &&
			notice->due_ns + EXPIRE_SLACK >= due_ns)
			return true;
	return false;
}

void notifier_expire(struct notifier *n, uint64_t directory, uint64_t due_ns)
{
	{
		LOCK_SCOPE(&n->lock);
		if (already_queued(n, directory, due_ns))
			return;
	}
	struct notice *notice = notice_new(directory, "");
	if (!notice)
		return;
	notice->due_ns = due_ns;
	LOCK_SCOPE(&n->lock);
	insert_locked(n, notice);
}

void notifier_lapse(struct notifier *n, uint64_t directory, const char *name)
{
	struct notice *notice = notice_new(directory, name);
	if (!notice)
		return;
	LOCK_SCOPE(&n->lock);
	if (n->lapses < LAPSES_MOST) {
		n->lapses++;
		insert_locked(n, notice);
		return;
	}
	free(notice);
}

static void session_forget_names(
	void *arg, uint64_t directory, const char *name, size_t len)
{
	char text[NAME_MAX + 1];
	if (len > NAME_MAX)
		return;
	memcpy(text, name, len);
	text[len] = '\0'; /* libfuse sends it along */
	fuse_lowlevel_notify_inval_entry(arg, directory, text, len);
}

static void session_forget_inode(void *arg, uint64_t inode)
{
	fuse_lowlevel_notify_inval_inode(arg, inode, 0, 0);
}

void notifier_session_ops(struct fuse_session *session, struct notifier_ops *ret)
{
	*ret = (struct notifier_ops){
		.forget_names = session_forget_names,
		.forget_inode = session_forget_inode,
		.arg = session,
	};
}
