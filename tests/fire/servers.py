# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers, each with a load that knows every answer."""

import hashlib
import shutil
import signal
import subprocess
import time
from pathlib import Path

import asking
from subjects import END, HERE, Broken, Subject, output, version

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
# Debian's redis-server is this file by another name; the package of that name would start one.
REDIS = "/usr/bin/redis-check-rdb"


class Redis(Subject):
    """As packaged: on jemalloc, which is refused."""

    name = "redis"
    refusal = "its malloc is jemalloc's"
    complaints = r"REDIS BUG REPORT|crashed by signal|Assertion|Guru"
    env = None

    def start(self):
        socket = self.dir / "socket"
        socket.unlink(missing_ok=True)
        self.launch(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir",
                     self.dir], executable=REDIS, env=self.env)
        self.there(socket)

    def clients(self):
        return [("redis", str(self.dir / "socket"), ())]

    def version(self):
        try:
            return subprocess.run(["redis-server", "--version"], executable=REDIS, check=True, capture_output=True,
                                  text=True).stdout.partition("v=")[2].split()[0]
        except (OSError, IndexError, subprocess.CalledProcessError):
            return "unknown"


class RedisGlibc(Redis):
    """The same program on the C library's malloc, by having that found first."""

    name = "redis-glibc"
    refusal = None
    env = {"LD_PRELOAD": LIBC}


class Memcached(Subject):
    name = "memcached"

    def start(self):
        socket = self.dir / "socket"
        socket.unlink(missing_ok=True)
        self.launch(["memcached", "-s", socket, "-a", "0777", "-m", "512", "-t", "4"])
        self.there(socket)

    def clients(self):
        return [("memcached", str(self.dir / "socket"), ())]

    def version(self):
        return version("memcached", "--version")


class Nginx(Subject):
    name = "nginx"
    user = "root"  # it makes its workers somebody else's by itself
    complaints = r"\[(alert|crit|emerg|error)\]"

    CONFIG = """daemon off; master_process on; worker_processes 2; user nobody nogroup;
pid {dir}/pid; error_log stderr warn;
events {{ worker_connections 64; }}
http {{
	access_log off; default_type text/plain; gzip on; gzip_min_length 1; keepalive_requests 1000000;
	client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
	uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
	server {{ listen unix:{dir}/socket; root {dir}/pages; }}
}}
"""

    def ready(self):
        super().ready()
        (self.dir / "pages").mkdir()
        for n in range(asking.NUMBERS):
            (self.dir / "pages" / str(n)).write_bytes(asking.page(n))
        (self.dir / "conf").write_text(self.CONFIG.format(dir=self.dir), encoding="utf-8")

    def start(self):
        socket = self.dir / "socket"
        socket.unlink(missing_ok=True)
        self.launch(["/usr/sbin/nginx", "-e", "stderr", "-c", self.dir / "conf"])
        self.there(socket)

    def clients(self):
        return 2 * [("nginx", str(self.dir / "socket"), ())]

    def version(self):
        return version("/usr/sbin/nginx", "-v")


class Gunicorn(Subject):
    name = "gunicorn"
    remedies = "collect,trim,purge"
    complaints = r"\[(ERROR|CRITICAL|WARNING)\]|Traceback"

    def ready(self):
        super().ready()
        shutil.copy(HERE / "app.py", self.dir)

    def start(self):
        socket = self.dir / "socket"
        socket.unlink(missing_ok=True)
        self.launch(["/usr/bin/python3", "-B", "/usr/bin/gunicorn", "--workers=2", "--worker-class=gthread",
                     "--threads=2", "--keep-alive=75", f"--worker-tmp-dir={self.dir}",
                     f"--bind=unix:{socket}", "app:app"])
        self.there(socket)

    def clients(self):
        return 2 * [("gunicorn", str(self.dir / "socket"), ())]

    def look(self):
        begun = self.words().count("Booting worker")
        if begun != 2:
            raise Broken(f"{begun} workers were begun, not 2")

    def version(self):
        return f"{version('/usr/bin/gunicorn', '--version')}, Python {version('/usr/bin/python3', '--version')}"


class Pgbench:
    """Four clients with pgbench's own transactions and a sort whose result is known. It tells when each ended."""

    def __init__(self, subject, seconds):
        self.subject, self.seconds, self.proc = subject, seconds, None

    def begin(self):
        s = self.subject
        for path in s.dir.glob("log.*"):
            path.unlink()
        output(*s.tool("pgbench"), "-i", "-q", "-s", "4", "postgres")
        want = hashlib.md5(",".join(sorted(map(str, range(1, 3001)), reverse=True)).encode()).hexdigest()
        (s.dir / "sort.sql").write_text("SELECT 1 / ((SELECT md5(string_agg(x::text, ',' ORDER BY x::text DESC)) FROM "
                                        f"generate_series(1, 3000) x) = '{want}')::int;\n", encoding="utf-8")
        with open(s.dir / "pgbench", "wb") as log:
            self.proc = subprocess.Popen(
                [*map(str, s.tool("pgbench")), "-n", "-c", "4", "-j", "2", f"-T{int(self.seconds)}", "-l",
                 f"--log-prefix={s.dir}/log", f"--random-seed={s.seed}", "-b", "tpcb-like@4", "-f",
                 f"{s.dir}/sort.sql@1", "postgres"], stdout=log, stderr=log)
        self.clock = time.time_ns() - time.monotonic_ns()

    def alive(self):
        return self.proc.poll() is None

    def end(self):
        status = self.proc.wait(self.seconds + END)
        words = (self.subject.dir / "pgbench").read_text(encoding="utf-8", errors="replace")
        if status or "number of failed transactions: 0 " not in words:
            raise Broken(f"pgbench ended with {status}: {words[-500:]}")
        samples, banked = [], 0
        for path in self.subject.dir.glob("log.*"):
            for line in path.read_text(encoding="ascii").splitlines():
                _, _, took, script, seconds, us = line.split()[:6]
                samples.append((int(seconds) * 10**9 + int(us) * 1000 - self.clock, int(took) * 1000))
                banked += script == "0"
        self.subject.banked = banked
        return sorted(samples), len(samples)

    def kill(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()


class Postgres(Subject):
    name = "postgresql"
    load = Pgbench
    ending = signal.SIGINT
    complaints = r"(ERROR|FATAL|PANIC|WARNING):|terminated by signal|was terminated"
    banked = 0

    def bin(self, name):
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4]))
        if not found:
            raise Broken("there is no PostgreSQL here")
        return found[-1]

    def tool(self, name):
        """A client program and who it talks to."""
        return [self.bin(name), "-h", self.dir, "-U", "postgres"]

    def ask(self, question):
        return output(*self.tool("psql"), "-XAtc", question, "postgres")

    def ready(self):
        super().ready()
        output(self.bin("initdb"), "-D", self.dir / "data", "-k", "-A", "trust", "-U", "postgres", "--locale=C", "-N",
               user="nobody", group="nogroup", cwd=self.dir)

    def start(self):
        self.launch([self.bin("postgres"), "-D", self.dir / "data", "-k", self.dir, "-c", "listen_addresses=", "-c",
                     "shared_buffers=64MB", "-c", "fsync=off", "-c", "max_wal_size=256MB"])
        self.there(self.dir / ".s.PGSQL.5432")
        deadline = time.monotonic() + END
        while "is ready" not in self.words() and time.monotonic() < deadline:
            time.sleep(.05)

    def look(self):
        """Money neither comes nor goes; every transaction that was told as done is there; trees and pages are whole."""
        sums = self.ask("SELECT (SELECT sum(abalance) FROM pgbench_accounts),"
                        "(SELECT sum(tbalance) FROM pgbench_tellers),"
                        "(SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history),"
                        "(SELECT count(*) FROM pgbench_history)").split("|")
        if len(set(sums[:4])) != 1 or int(sums[4]) != self.banked:
            raise Broken(f"sums {sums} after {self.banked} transactions")
        output(*self.tool("pg_amcheck"), "--install-missing", "--heapallindexed", "postgres")

    def stop(self):
        super().stop()
        output(self.bin("pg_checksums"), "--check", "-D", self.dir / "data")

    def version(self):
        return version(self.bin("postgres"), "--version")
