/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "forged.h"

#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

void forged_bytes(struct forged *f, const void *data, size_t size)
{
	const size_t at = f->head.nlmsg_len;

	if (at < NLMSG_HDRLEN || size > FORGED_SIZE - NLMSG_HDRLEN || at > FORGED_SIZE - size)
		abort();
	/* With memcpy(), gcc 12 believes that this writes into nlmsg_len when sanitizers watch. */
	for (size_t i = 0; i < size; i++)
		f->bytes[at + i] = ((const char *)data)[i];
	f->head.nlmsg_len = (uint32_t)(at + size);
}

static void align(struct forged *f)
{
	static const char zeros[NLMSG_ALIGNTO];

	forged_bytes(f, zeros, NLMSG_ALIGN(f->head.nlmsg_len) - f->head.nlmsg_len);
}

void forged_begin_bare(struct forged *f, uint16_t type, uint16_t flags)
{
	memset(f, 0, sizeof(*f));
	f->head.nlmsg_len = NLMSG_HDRLEN;
	f->head.nlmsg_type = type;
	f->head.nlmsg_flags = flags;
}

void forged_begin(struct forged *f, uint16_t type, uint16_t flags, uint8_t cmd)
{
	const struct genlmsghdr h = { .cmd = cmd, .version = 1 };

	forged_begin_bare(f, type, flags);
	forged_bytes(f, &h, sizeof(h));
}

void forged_attr(struct forged *f, uint16_t type, const void *data, size_t size)
{
	const struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = type };

	forged_bytes(f, &a, sizeof(a));
	forged_bytes(f, data, size);
	align(f);
}

void forged_u32(struct forged *f, uint16_t type, uint32_t v)
{
	forged_attr(f, type, &v, sizeof(v));
}

void forged_u64(struct forged *f, uint16_t type, uint64_t v)
{
	forged_attr(f, type, &v, sizeof(v));
}

void forged_text(struct forged *f, uint16_t type, const char *text)
{
	forged_attr(f, type, text, strlen(text) + 1);
}

size_t forged_nest(struct forged *f, uint16_t type)
{
	const size_t at = f->head.nlmsg_len;

	forged_attr(f, type | NLA_F_NESTED, NULL, 0);
	return at;
}

void forged_nest_end(struct forged *f, size_t nest)
{
	struct nlattr a;

	memcpy(&a, f->bytes + nest, sizeof(a));
	a.nla_len = (uint16_t)(f->head.nlmsg_len - nest);
	memcpy(f->bytes + nest, &a, sizeof(a));
}

struct nlmsghdr *forged_message(const struct forged *f)
{
	struct nlmsghdr *h = malloc(f->head.nlmsg_len);

	if (!h)
		abort();
	memcpy(h, f->bytes, f->head.nlmsg_len);
	return h;
}
