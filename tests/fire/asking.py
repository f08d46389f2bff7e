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

    def fill(self):
        for key in range(KEYS):
            self.put(key)

    def put(self, key):
        version = self.n
        self.set(b"s%dk%d" % (self.seed, key), value(key, version))
        self.versions[key] = version

    def drop(self, key):
        self.delete(b"s%dk%d" % (self.seed, key), key in self.versions)
        self.versions.pop(key, None)

    def look(self, key):
        got = self.get(b"s%dk%d" % (self.seed, key))
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
        for key in range(KEYS):
            self.look(key)


class Redis(Store):
    def ask(self, *words):
        self.stream.send(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.stream.line()

    def set(self, key, data):
        check(self.ask(b"SET", key, data), b"+OK", "SET")

    def get(self, key):
        line = self.ask(b"GET", key)
        if line[:1] != b"$":
            raise Wrong(f"GET: {line[:60]!r}")
        return None if line == b"$-1" else self.stream.block(int(line[1:]))

    def delete(self, key, there):
        check(self.ask(b"DEL", key), b":%d" % there, "DEL")


class Memcached(Store):
    def ask(self, words):
        self.stream.send(words + b"\r\n")
        return self.stream.line()

    def set(self, key, data):
        check(self.ask(b"set %s 0 0 %d\r\n%s" % (key, len(data), data)), b"STORED", "set")

    def get(self, key):
        line = self.ask(b"get " + key)
        if line == b"END":
            return None
        if line[:6] != b"VALUE ":
            raise Wrong(f"get: {line[:60]!r}")
        data = self.stream.block(int(line.split()[3]))
        check(self.stream.line(), b"END", "after a value")
        return data

    def delete(self, key, there):
        check(self.ask(b"delete " + key), b"DELETED" if there else b"NOT_FOUND", "delete")


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
