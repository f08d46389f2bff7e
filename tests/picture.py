# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the pages that reclaimctl explain --html writes, as a strict reader would."""

import html.parser
import json

FIELDS = "in_use cached free_resident free_shared free_gone overhead live_blocks absent swapped unknown".split()
OWNERS = {"glibc": 1, "mmapped": 2, "cpython": 3}
VOID = {"meta", "br", "hr", "input", "link"}


class Page(html.parser.HTMLParser):
    """Tags that nest, text by the tag that it is in, and the data of the script."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.raw = path.read_bytes()
        self.open, self.texts, self.tags, self.maps = [], {}, [], []
        self.feed(self.raw.decode("utf-8"))
        self.close()
        assert not self.open, self.open
        self.pictures = json.loads(self.texts["script"][0])

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        # Nothing from outside, no handler in a tag.
        assert not {"src", "href", "action", "data"} & set(attrs) and not any(a.startswith("on") for a in attrs), attrs
        if attrs.get("class") == "map":
            self.maps.append((int(attrs["data-picture"]), int(attrs["data-owner"])))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def text(self, tag):
        return " ".join(self.texts.get(tag, []))


def cells(picture):
    """The map, as its script decodes it."""
    at, owner, arena, out = 0, 0, 0, []
    for text in picture["cells"].split(";")[:-1]:
        v = [int(s, 36) if s else 0 for s in text.split(",")]
        v += [0] * (13 - len(v))
        at += v[0] * picture["cell_size"]
        owner = v[1] or owner
        arena = v[2] - 1 if v[2] else arena
        out.append(dict(zip(FIELDS, v[3:]), at=at, owner=owner, arena=arena))
    return out


def total(some, key):
    return sum(c[key] for c in some)


def held(some):
    """All bytes that are something."""
    return sum(total(some, key) for key in ("in_use", "cached", "free_resident", "free_shared", "free_gone", "overhead",
                                            "unknown"))
