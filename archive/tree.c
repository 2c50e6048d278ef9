#include "archive/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"
#include "fetch/base/vec.h"

#define BLOCK_ENTRIES 4096u
#define BLOCKS        (ENTRY_COUNT_LIMIT / BLOCK_ENTRIES)
#define CHUNK_SIZE    (256u << 10) /* bytes of strings */

DEFINE_VEC(block_vec, void *);

struct tree {
	uint32_t count;
	struct tree_entry **blocks; /* owned, BLOCKS of them; NULL behind the last */
	struct block_vec owned;     /* chunks of strings and what tree_own() took */
	char *chunk;                /* borrowed from owned: the one being filled */
	size_t chunk_left;          /* bytes */
};

struct tree *tree_new(void)
{
	struct tree *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->blocks = calloc(BLOCKS, sizeof(t->blocks[0]));
	if (!t->blocks) {
		free(t);
		return NULL;
	}
	return t;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->owned.len; i++)
		free(t->owned.data[i]);
	block_vec_finish(&t->owned);
	for (size_t i = 0; i < BLOCKS && t->blocks[i]; i++)
		free(t->blocks[i]);
	free(t->blocks);
	free(t);
}

int tree_own(struct tree *t, void *block)
{
	int r = block ? block_vec_push(&t->owned, block) : 0;
	if (r < 0)
		free(block);
	return r;
}

static int add_chunk(struct tree *t, size_t size)
{
	char *chunk = malloc(size);
	if (!chunk)
		return -ENOMEM;
	int r = tree_own(t, chunk);
	if (r < 0)
		return r;
	t->chunk = chunk;
	t->chunk_left = size;
	return 0;
}

char *tree_keep(struct tree *t, const char *text, size_t len)
{
	size_t need = len + 1;
	if (need > t->chunk_left &&
		add_chunk(t, need > CHUNK_SIZE ? need : CHUNK_SIZE) < 0)
		return NULL;
	char *kept = t->chunk;
	memcpy(kept, text, len);
	kept[len] = '\0';
	t->chunk += need;
	t->chunk_left -= need;
	return kept;
}

int tree_append(struct tree *t, const char *name, struct tree_entry **ret_entry)
{
	size_t len = strlen(name);
	if (len > NAME_LIMIT)
		return -ENAMETOOLONG;
	if (t->count == ENTRY_COUNT_LIMIT)
		return -E2BIG;
	struct tree_entry **block = &t->blocks[t->count / BLOCK_ENTRIES];
	if (!*block)
		*block = calloc(BLOCK_ENTRIES, sizeof(**block));
	if (!*block)
		return -ENOMEM;
	char *kept = tree_keep(t, name, len);
	if (!kept)
		return -ENOMEM;
	struct tree_entry *entry = *block + t->count % BLOCK_ENTRIES;
	entry->name = kept;
	entry->name_len = (uint8_t)len;
	entry->primary = TREE_NO_LINK;
	t->count++;
	*ret_entry = entry;
	return 0;
}

uint32_t tree_count(const struct tree *t)
{
	return t->count;
}

struct tree_entry *tree_entry(const struct tree *t, uint32_t i)
{
	return t->blocks[i / BLOCK_ENTRIES] + i % BLOCK_ENTRIES;
}

/* The bytes of the path, without a slash behind. */
static size_t path_len(const struct tree *t, uint32_t i)
{
	size_t len = 0;
	while (i) {
		const struct tree_entry *entry = tree_entry(t, i);
		len += entry->name_len + (size_t)(entry->parent != 0);
		i = entry->parent;
	}
	return len;
}

int tree_path(const struct tree *t, uint32_t i, struct buf *out)
{
	size_t len = path_len(t, i);
	buf_clear(out);
	int r = buf_reserve(out, len);
	if (r < 0)
		return r == -EMSGSIZE ? -ENAMETOOLONG : r;
	char *end = out->data + len;
	*end = '\0';
	while (i) {
		const struct tree_entry *entry = tree_entry(t, i);
		end -= entry->name_len;
		memcpy(end, entry->name, entry->name_len);
		if (entry->parent)
			*--end = '/';
		i = entry->parent;
	}
	out->len = len;
	return 0;
}

int tree_tar_path(const struct tree *t, uint32_t i, struct buf *out)
{
	int r = tree_path(t, i, out);
	if (r == 0 && i == 0)
		r = buf_append_str(out, "./");
	else if (r == 0 && S_ISDIR(tree_entry(t, i)->mode))
		r = buf_append_str(out, "/");
	return r == -EMSGSIZE ? -ENAMETOOLONG : r;
}

void tree_label(const struct tree *t, const char *top, uint32_t i, const char *child,
	char *ret, size_t size)
{
	CLEANUP(buf_finish) struct buf path = BUF_INIT(TREE_PATH_LIMIT);
	CLEANUP(buf_finish) struct buf label = BUF_INIT(2 * TREE_PATH_LIMIT);
	if (tree_path(t, i, &path) < 0)
		buf_clear(&path);
	int r = buf_printf(&label, "%s%s%s%s%s", top, path.len ? "/" : "", buf_str(&path),
		child ? "/" : "", child ? child : "");
	const char *text = r < 0 ? top : buf_str(&label);
	size_t len = strlen(text);
	if (len < size)
		memcpy(ret, text, len + 1);
	else
		snprintf(ret, size, "...%s", text + len - (size - 4));
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* Size and mtime. */
static uint64_t mix_content(const struct stat *st)
{
	uint64_t h = mix(0x6c617264, (uint64_t)st->st_size);
	h = mix(h, (uint64_t)st->st_mtim.tv_sec);
	return mix(h, (uint64_t)st->st_mtim.tv_nsec);
}

uint64_t tree_stamp(const struct stat *st)
{
	uint64_t h = mix(mix_content(st), (uint64_t)st->st_ctim.tv_sec);
	return mix(h, (uint64_t)st->st_ctim.tv_nsec);
}

uint64_t tree_facts(const struct stat *st)
{
	uint64_t h = mix(mix_content(st), st->st_mode);
	return mix(h, (uint64_t)st->st_uid << 32 | st->st_gid);
}

bool tree_is_relinked(const struct tree_entry *entry, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_ino == entry->inode &&
	       (entry->linked || st->st_nlink > 1) && tree_facts(st) == entry->facts;
}
