/* SPDX-License-Identifier: GPL-2.0-only */
/* The attributes of replies. All give 0 or -EMSGSIZE. */
#ifndef RECLAIM_NETLINK_PUT_H
#define RECLAIM_NETLINK_PUT_H

struct reclaim_facts;
struct reclaim_region;
struct reclaim_sample;
struct sk_buff;

int reclaim_put_facts(struct sk_buff *skb, const struct reclaim_facts *f);
/* @s: of its process, @name: of its file. */
int reclaim_put_region(struct sk_buff *skb, const struct reclaim_region *r, const struct reclaim_sample *s,
		       const char *name);
int reclaim_put_age(struct sk_buff *skb, const struct reclaim_facts *f, const struct reclaim_sample *s);

#endif
