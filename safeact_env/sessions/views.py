"""The view that each session asked for at its reset.

Owns which sessions want less than whole observations. Must not know episodes: a view is no part of one, and
no store keeps it. A process that does not know a session, as after a failover, sends it whole observations
until a request names the view again.
"""

import threading

from safeact_env.core.observation import View

__all__ = ["SessionViews"]


class SessionViews:
    """Views by episode id. Threads may share it.

    Args:
        limit: Most sessions it remembers, those used last.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._views: dict[str, View] = {}

    def choose(self, episode_id: str, view: View) -> None:
        """Note the view of a session. Of `full`, the default, nothing is kept."""
        with self._lock:
            self._views.pop(episode_id, None)
            if view != "full":
                self._views[episode_id] = view
                if len(self._views) > self._limit:
                    del self._views[next(iter(self._views))]

    def of(self, episode_id: str, asked: View | None = None) -> View:
        """The view of an answer: the one that the request asks for, else the session's."""
        if asked is not None:
            return asked
        with self._lock:
            view = self._views.pop(episode_id, None)
            if view is None:
                return "full"
            self._views[episode_id] = view
            return view
