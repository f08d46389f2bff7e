/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The module's netlink family, spoken by hand: a test must be able to say what no library would. */
#pragma once

#include <linux/netlink.h>
#include <linux/reclaim.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct genl {
	int fd;
	uint16_t family, found;
	uint32_t group;
	uint32_t seq;
	bool interrupted;   /* the last dump wasn't consistent */
	char message[256];  /* what the kernel said about the last request, in words */
	uint32_t bad_offset;/* of the attribute that it refused, 0: none named */
};

/* A request being written; what doesn't fit is a mistake of the test's. */
struct genl_request {
	union {
		struct nlmsghdr head;
		unsigned char bytes[16384];
	};
};

/* What a reply holds: attributes by number, NULL for those that aren't there. */
struct genl_reply {
	uint8_t cmd;
	struct nlattr *attr[RECLAIM_A_MAX + 1];
	void *end; /* of all attributes: where several of one number follow each other, attr has the first */
};

typedef void (*genl_handler_t)(const struct genl_reply *reply, void *data);

int genl_open(struct genl *ret);
void genl_close(struct genl *g);
int genl_join(struct genl *g);

void genl_begin(struct genl *g, struct genl_request *r, uint8_t cmd, uint16_t flags);
void genl_put(struct genl_request *r, uint16_t type, const void *data, size_t size);
void genl_put_u32(struct genl_request *r, uint16_t type, uint32_t value);
void genl_put_u64(struct genl_request *r, uint16_t type, uint64_t value);
void genl_put_flag(struct genl_request *r, uint16_t type);

int genl_send(struct genl *g, struct genl_request *r);
/* Sends, and hands over replies until the kernel says that it is done. 0 or a negative errno. */
int genl_call(struct genl *g, struct genl_request *r, genl_handler_t handler, void *data);
/* One datagram, at most @timeout_ms: >0 messages, 0 nothing came, or a negative errno (-ENOBUFS: some were lost). */
int genl_listen(struct genl *g, int timeout_ms, genl_handler_t handler, void *data);

uint32_t genl_u32(const struct nlattr *a);
uint64_t genl_u64(const struct nlattr *a);
const char *genl_string(const struct nlattr *a);
#define genl_data(a) ((void *)((char *)(a) + NLA_HDRLEN))
#define genl_size(a) ((size_t)(a)->nla_len - NLA_HDRLEN)
/* Attributes inside of @data, the next after @a or the first (NULL); NULL at the end. */
struct nlattr *genl_next(void *data, size_t size, struct nlattr *a);
