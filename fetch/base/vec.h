/*
 * A typed growing array.
 *
 * DEFINE_VEC(thing_vec, struct thing) makes `struct thing_vec` with the functions
 * thing_vec_push() (copies one element in; 0, -ENOMEM, or -E2BIG past `max`),
 * thing_vec_reserve() and thing_vec_finish() (frees the array, not what its elements
 * own). A zeroed struct is an empty vector without a cap; set `max` to cap it.
 */
#ifndef LARDER_FETCH_BASE_VEC_H
#define LARDER_FETCH_BASE_VEC_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Grows *data to hold at least `need` elements of `element` bytes. */
static inline int vec_grow(
	void **data, size_t *size, size_t need, size_t max, size_t element)
{
	if (max && need > max)
		return -E2BIG;
	if (need <= *size)
		return 0;
	size_t bigger = *size ? *size * 2 : 16;
	if (bigger < need)
		bigger = need;
	if (max && bigger > max)
		bigger = max;
	void *grown = reallocarray(*data, bigger, element);
	if (!grown)
		return -ENOMEM;
	*data = grown;
	*size = bigger;
	return 0;
}

#define DEFINE_VEC(name, type)                                                           \
	struct name {                                                                    \
		type *data;  /* owned */                                                 \
		size_t len;  /* elements */                                              \
		size_t size; /* elements allocated */                                    \
		size_t max;  /* most elements; 0: no cap */                              \
	};                                                                               \
	__attribute__((unused)) static inline int name##_reserve(                        \
		struct name *v, size_t need)                                             \
	{                                                                                \
		return vec_grow((void **)&v->data, &v->size, need, v->max, sizeof(type)); \
	}                                                                                \
	__attribute__((unused)) static inline int name##_push(struct name *v, type item) \
	{                                                                                \
		int r = name##_reserve(v, v->len + 1);                                   \
		if (r < 0)                                                               \
			return r;                                                        \
		v->data[v->len++] = item;                                                \
		return 0;                                                                \
	}                                                                                \
	__attribute__((unused)) static inline void name##_finish(struct name *v)         \
	{                                                                                \
		free(v->data);                                                           \
		*v = (struct name){ .max = v->max };                                     \
	}                                                                                \
	struct vec_swallows_semicolon_

#endif
