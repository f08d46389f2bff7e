# SPDX-License-Identifier: GPL-2.0-or-later
"""What gunicorn serves: pages that follow from their number, made with many objects that live for different times."""

import hashlib
import json

KEPT = 50
PERIOD = 200

_kept, _count = {}, 0


def answer(n):
    """The body of page @n."""
    table = {f"key {i} of {n}": {"square": i * i, "text": f"{i}-{n}" * (i % 7), "list": list(range(i % 13))}
             for i in range(200 + n % 40 * 10)}
    text = json.dumps(table, sort_keys=True)
    back = json.loads(text)
    if back != table:
        raise ValueError(f"page {n}: read back, it is another")
    return f"{n} {hashlib.sha256(text.encode()).hexdigest()} {len(text)}\n".encode() + text[:n * 50].encode()


def churn(n):
    """Keeps some, lets go of most: what has been compared before it goes."""
    global _count
    _count += 1
    _kept[_count] = (n, [f"{_count}:{i}" for i in range(2000)])
    if _count % PERIOD == 0:
        for key in [k for k in _kept if k % KEPT]:
            _, texts = _kept.pop(key)
            if any(text != f"{key}:{i}" for i, text in enumerate(texts)):
                raise ValueError(f"what was kept for {key} has changed")
    if len(_kept) > 2 * PERIOD:
        del _kept[min(_kept)]


def app(environ, start_response):
    n = int(environ["PATH_INFO"][1:])
    churn(n)
    body = answer(n)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
