"""A proxy that loses answers: the server carries a command out, and the client does not hear of it."""

from __future__ import annotations

import socket
import threading
from typing import Any


class Proxy:
    """Forwards connections to a server. It closes a connection instead of returning an answer that is to be lost."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._command = b""
        self._times = 0
        self.lost = 0
        self._is_open = True

    def lose(self, command: bytes, times: int) -> None:
        """Loses the next answers to this command."""
        with self._lock:
            self._command, self._times = command, times

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._is_open = False
        self._listener.close()

    def _accept(self) -> None:
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:
            client.close()
            return
        with client, server:
            lost = threading.Event()
            back = threading.Thread(target=self._answer, args=(server, client, lost), daemon=True)
            back.start()
            try:
                while data := client.recv(65536):
                    if self._is_lost(data):
                        lost.set()
                    server.sendall(data)
                    if lost.is_set():
                        # Its answer shows that the server has carried it out.
                        back.join(10)
                        return
            except OSError:
                pass
            finally:
                for end in (client, server):
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def _is_lost(self, data: bytes) -> bool:
        with self._lock:
            if self._times == 0 or self._command not in data:
                return False
            self._times -= 1
            self.lost += 1
            return True

    def _answer(self, server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        try:
            while data := server.recv(65536):
                if lost.is_set():
                    return
                client.sendall(data)
        except OSError:
            pass
