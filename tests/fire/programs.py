# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that answer through pipes, and jobs."""

import random
import shutil
import subprocess

from subjects import HERE, Broken, Job, Piped, digest, output, version

WORK = HERE / "work"


class Node(Piped):
    name = "node"

    def ready(self):
        super().ready()
        shutil.copy(WORK / "work.js", self.dir)

    def command(self):
        return ["node", "work.js"]

    def version(self):
        return version("node", "--version")


class Java(Piped):
    name = "openjdk"

    def ready(self):
        super().ready()
        output("javac", "-d", self.dir, WORK / "Work.java")

    def command(self):
        return ["java", "-Xmx256m", "-cp", self.dir, "Work"]

    def version(self):
        return version("java", "-version")


class Ruby(Piped):
    name = "ruby"

    def ready(self):
        super().ready()
        shutil.copy(WORK / "work.rb", self.dir)

    def command(self):
        return ["ruby", "work.rb"]

    def version(self):
        return version("ruby", "--version")


class Perl(Piped):
    name = "perl"

    def ready(self):
        super().ready()
        shutil.copy(WORK / "work.pl", self.dir)

    def command(self):
        return ["perl", "work.pl"]

    def version(self):
        return version("perl", "--version")


class Sqlite(Piped):
    """The shell on a file, beside the library in Python on the same statements."""

    name = "sqlite"
    protocol = "sqlite"

    def command(self):
        (self.dir / "db").unlink(missing_ok=True)
        return ["stdbuf", "-oL", "sqlite3", "-cmd", "PRAGMA synchronous=off;", "db"]

    def version(self):
        return version("sqlite3", "--version")


class Gcc(Job):
    """A large generated file, compiled; the object must be the same to the bit."""

    name = "gcc"
    FUNCTIONS = 300

    def ready(self):
        super().ready()
        chance = random.Random(self.seed)
        with open(self.dir / "large.c", "w", encoding="ascii") as out:
            for i in range(self.FUNCTIONS):
                a, b, c = (chance.randrange(1, 10**6) for _ in range(3))
                out.write(f"""static int table{i}[{1 + a % 64}];
int function{i}(int n, const int *p)
{{
	int sum = {a};
	for (int k = 0; k < n; k++) {{
		switch ((p[k] + k) % 7) {{
		case 0: sum += p[k] * {b}; break;
		case 1: sum ^= table{i}[(unsigned)p[k] % {1 + a % 64}]; break;
		case {2 + b % 4}: sum -= {c} / (k + 1); break;
		default: table{i}[(unsigned)k % {1 + a % 64}] += sum;
			sum = (sum << {1 + c % 5}) ^ ((unsigned)sum >> 27);
		}}
	}}
	return sum{f" + function{chance.randrange(i)}(n / 2, p)" if i else ""};
}}
""")

    def do(self):
        # The folder is another one in each run of fire.py, and -g would write it down.
        self.call(["gcc", "-O2", "-g", f"-ffile-prefix-map={self.dir}=.", "-c", "large.c", "-o", "large.o"])

    def result(self):
        return digest((self.dir / "large.o").read_bytes())

    def version(self):
        return version("gcc", "-dumpfullversion")


class Git(Job):
    """A repository of some packs made one; afterwards it has the same objects, and fsck finds nothing."""

    name = "git gc"
    COMMITS, FILES, PACKS = 600, 20, 4

    def ready(self):
        super().ready()
        source, chance = self.dir / "source", random.Random(self.seed)
        output("git", "init", "-q", "--bare", "--initial-branch=main", source)
        texts = [[f"line {i} of {f}" for i in range(400)] for f in range(self.FILES)]
        for pack in range(self.PACKS):
            stream = []
            for n in range(self.COMMITS // self.PACKS):
                stream.append(f"commit refs/heads/main\ncommitter A <a@example.org> {10**9 + pack * 10**6 + n} +0000\n"
                              "data 1\nx\n")
                if not n and pack:
                    stream.append("from refs/heads/main^0\n")
                for f in chance.sample(range(self.FILES), 3):
                    texts[f][chance.randrange(400)] = f"line {chance.randrange(10**9)}"
                    text = "\n".join(texts[f])
                    stream.append(f"M 100644 inline file{f}\ndata {len(text)}\n{text}\n")
            (self.dir / "stream").write_text("".join(stream), encoding="ascii")
            with open(self.dir / "stream", "rb") as data:
                subprocess.run(["git", "-C", source, "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"],
                               stdin=data, check=True)

    def before(self):
        shutil.rmtree(self.dir / "repository", ignore_errors=True)
        shutil.copytree(self.dir / "source", self.dir / "repository")

    def do(self):
        self.call(["git", "-C", "repository", "-c", "gc.aggressiveWindow=50", "gc", "--aggressive", "--quiet",
                   "--prune=now"])

    def result(self):
        where = ["git", "-C", self.dir / "repository"]
        complaints = output(*where, "fsck", "--full", "--strict")
        if complaints:
            raise Broken(f"fsck: {complaints[:300]}")
        packs = list((self.dir / "repository/objects/pack").glob("*.pack"))
        if len(packs) != 1:
            raise Broken(f"{len(packs)} packs")
        return digest(self.call([*where, "cat-file", "--batch", "--batch-all-objects"]))

    def version(self):
        return version("git", "--version")


class Chromium(Job):
    """A page that a script fills: what is there afterwards, and how it looks."""

    name = "chromium"
    refusal = "its malloc is another malloc's"  # its own, in chromium and in chrome_crashpad_handler
    complaints = r":FATAL:|Check failed|Received signal"  # of a machine without D-Bus it complains by itself
    PROGRAM = "/usr/lib/chromium/chromium"  # itself: what is in PATH is a shell's script, which may be trimmed
    OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
               "--window-size=800,600", "--disable-dev-shm-usage"]

    def ready(self):
        super().ready()
        shutil.copy(WORK / "page.html", self.dir)

    def browser(self, *args):
        profile = self.dir / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        return self.call([self.PROGRAM, *self.OPTIONS, f"--user-data-dir={profile}", *args,
                          f"file://{self.dir}/page.html"])

    def do(self):
        self.dom = self.browser("--dump-dom")
        self.browser(f"--screenshot={self.dir}/shot.png")

    def result(self):
        if b"<p id=\"done\">" not in self.dom:
            raise Broken(f"the page isn't filled: {self.dom[-200:]!r}")
        return f"{digest(self.dom)} {digest((self.dir / 'shot.png').read_bytes())}"

    def version(self):
        return version(self.PROGRAM, "--version")
