# SPDX-License-Identifier: GPL-2.0-or-later
"""How a subject is asked, and what it must answer. Every answer is known beforehand, from the seed alone or from what
was stored: a protocol raises Wrong for any other."""

import gzip
import hashlib
import http.client
import os
import random
import socket
import sqlite3

import app

KEYS = 20000
TOGETHER = 50
NUMBERS = 64  # of different questions, where a question is a number


class Wrong(Exception):
    pass


def value(key, version):
    """What is stored under @key: some bytes to 16 KiB, all of which follow from both."""
    size = (key * 2654435761 + version * 40503) % 1000
    size = 16384 if size > 990 else 4 * size
    word = b"%d:%d;" % (key, version)
    return (word * (size // len(word) + 1))[:size]


def check(got, want, what):
    if got != want:
        raise Wrong(f"{what}: {got[:60]!r} ({len(got)}) instead of {want[:60]!r} ({len(want)})")


class Stream:
    """A connection by a socket of the file system, and lines and blocks from it."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(address)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Wrong("it has closed the connection")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def block(self, size):
        while len(self.buffer) < size + 2:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return data


class Store:
    """Keys with versions: stored, got, deleted, in waves of more and of less."""

    def __init__(self, address, seed):
        self.stream, self.chance = Stream(address), random.Random(seed)
        self.seed, self.versions, self.n = seed, {}, 0

    def name(self, key):
        return b"s%dk%d" % (self.seed, key)

    def fill(self):
        """Some at a time: a machine that is busy takes long for each answer that is waited for."""
        for first in range(0, KEYS, TOGETHER):
            keys = range(first, min(first + TOGETHER, KEYS))
            self.stream.send(b"".join(self.setting(self.name(key), value(key, 0)) for key in keys))
            for key in keys:
                check(self.stream.line(), self.stored, "filling in")
                self.versions[key] = 0

    def put(self, key):
        self.stream.send(self.setting(self.name(key), value(key, self.n)))
        check(self.stream.line(), self.stored, "storing")
        self.versions[key] = self.n

    def drop(self, key):
        self.stream.send(self.deleting(self.name(key)))
        check(self.stream.line(), self.deleted if key in self.versions else self.missing, "deleting")
        self.versions.pop(key, None)

    def look(self, key):
        self.stream.send(self.getting(self.name(key)))
        self.compare(key)

    def compare(self, key):
        got = self.answer()
        want = value(key, self.versions[key]) if key in self.versions else None
        if (got is None) != (want is None):
            raise Wrong(f"key {key} is {'missing' if got is None else 'there'}")
        if want is not None:
            check(got, want, f"key {key}")

    def request(self):
        self.n += 1
        key, what = self.chance.randrange(KEYS), self.chance.random()
        growing = self.n // 20000 % 2
        if what < .4:
            self.look(key)
        elif what < (.85 if growing else .55):
            self.put(key)
        else:
            self.drop(key)

    def finish(self):
        for first in range(0, KEYS, TOGETHER):
            keys = range(first, min(first + TOGETHER, KEYS))
            self.stream.send(b"".join(self.getting(self.name(key)) for key in keys))
            for key in keys:
                self.compare(key)


class Redis(Store):
    stored, deleted, missing = b"+OK", b":1", b":0"

    @staticmethod
    def words(*words):
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def setting(self, key, data):
        return self.words(b"SET", key, data)

    def getting(self, key):
        return self.words(b"GET", key)

    def deleting(self, key):
        return self.words(b"DEL", key)

    def answer(self):
        line = self.stream.line()
        if line[:1] != b"$":
            raise Wrong(f"GET: {line[:60]!r}")
        return None if line == b"$-1" else self.stream.block(int(line[1:]))


class Memcached(Store):
    stored, deleted, missing = b"STORED", b"DELETED", b"NOT_FOUND"

    @staticmethod
    def setting(key, data):
        return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(data), data)

    @staticmethod
    def getting(key):
        return b"get %s\r\n" % key

    @staticmethod
    def deleting(key):
        return b"delete %s\r\n" % key

    def answer(self):
        line = self.stream.line()
        if line == b"END":
            return None
        if line[:6] != b"VALUE ":
            raise Wrong(f"get: {line[:60]!r}")
        data = self.stream.block(int(line.split()[3]))
        check(self.stream.line(), b"END", "after a value")
        return data


class Web(http.client.HTTPConnection):
    def __init__(self, address):
        super().__init__("localhost", timeout=60)
        self.address = address

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.address)


class Http:
    """Pages by their number, compressed where the server does that; bodies() knows them."""

    headers = {}

    def __init__(self, address, seed):
        self.web, self.chance = Web(address), random.Random(seed)
        self.wanted = {}

    def fill(self):
        self.wanted = {f"/{n}": self.body(n) for n in range(NUMBERS)}
        for path in self.wanted:
            self.ask(path)

    def request(self):
        self.ask(f"/{self.chance.randrange(NUMBERS)}")

    def ask(self, path):
        self.web.request("GET", path, headers=self.headers)
        answer = self.web.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise Wrong(f"{path}: status {answer.status}")
        check(self.plain(data, answer), self.wanted[path], path)

    def plain(self, data, _):
        return data

    def finish(self):
        for path in self.wanted:
            self.ask(path)


def page(n):
    """A file for nginx."""
    return value(n, n) * (1 + n % 5 * 20) + b"\n"


class Nginx(Http):
    headers = {"Accept-Encoding": "gzip"}

    @staticmethod
    def body(n):
        return page(n)

    def plain(self, data, answer):
        return gzip.decompress(data) if answer.getheader("Content-Encoding") == "gzip" else data


class Gunicorn(Http):
    @staticmethod
    def body(n):
        return app.answer(n)


def rows(n):
    """What the programs of work/ compute: some thousand strings made, put into a table, half of them deleted, the
    rest sorted and digested."""
    x, table = n + 1, {}
    for i in range(2000):
        x = (x * 69069 + 1) % 2**31
        table[f"k{x}"] = f"v{x}" * (1 + i % 5)
    kept = sorted(key for i, key in enumerate(list(table)) if i % 2 == 0)
    return hashlib.md5("\n".join(f"{k}={table[k]}" for k in kept).encode()).hexdigest()


class Pipe:
    """A program that gets a line and answers with one: ADDRESS is TO,FROM, two descriptors."""

    def __init__(self, address, seed):
        to, back = map(int, address.split(","))
        self.to, self.back, self.chance = os.fdopen(to, "wb", 0), os.fdopen(back, "rb"), random.Random(seed)
        self.wanted = []

    def fill(self):
        self.wanted = [f"{n} {rows(n)}".encode() for n in range(NUMBERS)]
        for n in range(NUMBERS):
            self.ask(n)

    def request(self):
        self.ask(self.chance.randrange(NUMBERS))

    def ask(self, n):
        self.to.write(b"%d\n" % n)
        line = self.back.readline()
        if not line:
            raise Wrong("it has ended")
        check(line.rstrip(b"\n"), self.wanted[n], f"question {n}")

    def finish(self):
        for n in range(NUMBERS):
            self.ask(n)


class Sqlite(Pipe):
    """The same statements by another copy of the library, here, which nobody touches."""

    def fill(self):
        self.oracle, self.n = sqlite3.connect(":memory:", isolation_level=None), 0
        self.both("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, size INTEGER)")
        self.both("CREATE INDEX by_name ON t(name)")
        for _ in range(20):
            self.request()

    def both(self, statement):
        """Both must answer the same."""
        self.to.write(f"{statement};\n.print end\n".encode())
        want = ["|".join("" if v is None else str(v) for v in row) for row in self.oracle.execute(statement)]
        got = []
        while (line := self.back.readline().decode().rstrip("\n")) != "end":
            if not line and self.back.peek(1) == b"":
                raise Wrong("it has ended")
            got.append(line)
        if got != want:
            raise Wrong(f"{statement[:60]}: {got[:3]} instead of {want[:3]}")

    def request(self):
        self.n += 1
        first, chance = self.n * 100, self.chance
        names = ["x" * chance.randrange(200) + str(chance.randrange(10**6)) for _ in range(100)]
        values = ", ".join(f"({first + i}, '{name}', {chance.randrange(10**4)})" for i, name in enumerate(names))
        self.both(f"INSERT INTO t VALUES {values}")
        self.both(f"UPDATE t SET size = size + 1, name = name || 'y' WHERE id % 7 = {self.n % 7}")
        self.both("SELECT count(*), sum(size), max(name), total(length(name)) FROM t")
        self.both("SELECT size % 10, count(*), group_concat(substr(name, -3)) FROM "
                  "(SELECT * FROM t ORDER BY name DESC, id LIMIT 500) GROUP BY 1 ORDER BY 1")
        self.both(f"DELETE FROM t WHERE id < {first - 2000 - 1500 * (self.n // 50 % 2)}")

    def finish(self):
        self.both("SELECT id, name, size FROM t ORDER BY id")
        self.to.write(b"PRAGMA integrity_check;\n")
        check(self.back.readline().rstrip(b"\n"), b"ok", "integrity_check")


PROTOCOLS = {"redis": Redis, "memcached": Memcached, "nginx": Nginx, "gunicorn": Gunicorn, "pipe": Pipe,
             "sqlite": Sqlite}
