# SPDX-License-Identifier: GPL-2.0-or-later
"""What gunicorn serves: pages that follow from their number, made with many objects that live for different times."""

import hashlib
import itertools
import json
import threading

KEPT = 50
PERIOD = 200

_kept, _numbers, _lock = {}, itertools.count(1), threading.Lock()


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
    """Keeps some, lets go of most: what has been compared before it goes. Two threads do so at once."""
    number = next(_numbers)
    made = (n, [f"{number}:{i}" for i in range(2000)])
    with _lock:
        _kept[number] = made
        gone = [(k, _kept.pop(k)) for k in [k for k in _kept if k % KEPT]] if number % PERIOD == 0 else []
        if len(_kept) > 2 * PERIOD:
            gone.append(min(_kept.items()))
            del _kept[gone[-1][0]]
    for key, (_, texts) in gone:
        other = next((text for i, text in enumerate(texts) if text != f"{key}:{i}"), None)
        if other is not None or len(texts) != 2000:
            raise ValueError(f"what was kept for {key} has changed: {len(texts)}, {other!r}")


def app(environ, start_response):
    n = int(environ["PATH_INFO"][1:])
    churn(n)
    body = answer(n)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
