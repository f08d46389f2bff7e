# SPDX-License-Identifier: GPL-2.0-or-later
"""reclaim-worker --serve as a service manager starts it: with a listening socket as the first passed descriptor."""

import array
import os
import signal
import socket
import struct

import judge
import workerproto as w

HELLO = struct.Struct("<IIiI")
PASSED = 3  # SD_LISTEN_FDS_START


class Door:
    def __init__(self, folder, mode=0o600):
        self.path = str(folder / "door")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        os.chmod(self.path, mode)
        self.listener.listen(64)
        self.pid = 0

    @property
    def env(self):
        return {"RECLAIM_WORKER": self.path}

    def serve(self, **env):
        """A server; the socket is there before and after it, as with a service manager."""
        self.pid = os.fork()
        if not self.pid:
            try:
                os.dup2(self.listener.fileno(), PASSED, inheritable=True)
                passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", **env}
                os.execve(judge.WORKER, [str(judge.WORKER), "--serve"], {**os.environ, **passed})
            finally:
                os._exit(120)
        return self

    def workers(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
            return [int(pid) for pid in f.read().split()]

    def stop(self):
        """Its exit status, negative: killed by that signal."""
        if not self.pid:
            return None
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self):
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self):
        self.stop()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Client:
    """Speaks to a door for itself."""

    def __init__(self, path, message=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(20)
        self.socket.connect(path)
        if message:
            self.socket.send(message)

    def hello(self):
        """pid and pidfd of the worker, or None when it hung up."""
        data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4))
        if not data:
            return None
        magic, version, pid, unused = HELLO.unpack(data)
        assert (magic, version, unused) == (w.MAGIC, w.VERSION, 0)
        fds = array.array("i")
        for level, kind, content in control:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(content)
        assert len(fds) == 1, fds
        return pid, fds[0]
