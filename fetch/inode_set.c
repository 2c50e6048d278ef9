#include "fetch/inode_set.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SIZE 256

void inode_set_finish(struct inode_set *s)
{
	free(s->inodes);
	*s = (struct inode_set){0};
}

static uint64_t *place_of(const struct inode_set *s, uint64_t inode)
{
	size_t at = (size_t)(inode * UINT64_C(0x9e3779b97f4a7c15) >> 20);
	while (s->inodes[at & (s->size - 1)] && s->inodes[at & (s->size - 1)] != inode)
		at++;
	return &s->inodes[at & (s->size - 1)];
}

/* Twice as large as before. */
static int grow(struct inode_set *s)
{
	struct inode_set larger = {
		.size = s->size ? 2 * s->size : FIRST_SIZE, .count = s->count};
	larger.inodes = calloc(larger.size, sizeof(*larger.inodes));
	if (!larger.inodes)
		return -ENOMEM;
	for (size_t i = 0; i < s->size; i++)
		if (s->inodes[i])
			*place_of(&larger, s->inodes[i]) = s->inodes[i];
	free(s->inodes);
	*s = larger;
	return 0;
}

bool inode_set_has(const struct inode_set *s, uint64_t inode)
{
	return s->size && inode && *place_of(s, inode) == inode;
}

int inode_set_add(struct inode_set *s, uint64_t inode)
{
	if (inode_set_has(s, inode))
		return 0;
	if (2 * s->count >= s->size && grow(s) < 0)
		return -ENOMEM;
	*place_of(s, inode) = inode;
	s->count++;
	return 1;
}
