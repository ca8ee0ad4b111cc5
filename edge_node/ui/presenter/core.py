"""The state and the work under way. One event loop, one thread: nothing here may block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from edge_node.ui.ports import Services
from edge_node.ui.state import AppState, Screen
from protocols.errors import MedMeshError

Listener = Callable[[AppState], None]
_DEEPEST = 12


class Board:
    """Holds the state and tells its listeners when it changes."""

    def __init__(self, state: AppState) -> None:
        self.state = state
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with every new state."""
        self._listeners.append(listener)

    def change(self, **parts: Any) -> None:
        """Replace parts of the state."""
        self.state = replace(self.state, **parts)
        for listener in self._listeners:
            listener(self.state)

    def alter(self, part: str, **values: Any) -> None:
        """Replace values inside one part of the state."""
        self.change(**{part: replace(getattr(self.state, part), **values)})

    def go(self, screen: Screen) -> None:
        """Show a screen; one that is already on the way back is returned to, so that nobody walks in circles."""
        route = self.state.route
        route = route[: route.index(screen) + 1] if screen in route else (*route, screen)[-_DEEPEST:]
        self.change(route=route, failure=None)

    def switch(self, screen: Screen) -> None:
        """Show a main screen: from it, back leads home."""
        self.change(route=("home",) if screen == "home" else ("home", screen), failure=None)

    def back(self) -> None:
        """Show the screen before this one."""
        if len(self.state.route) > 1:
            self.change(route=self.state.route[:-1], failure=None)


class Errands:
    """Work under way, by name. A new errand of a name replaces the one before: the latest wish counts."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None], tidy: Callable[[], None] | None = None) -> None:
        """Begin ``work``; its failure becomes part of the state. ``tidy`` follows unless a newer errand took over."""
        self.cancel(name)
        task = asyncio.ensure_future(work)
        self._running[name] = task
        task.add_done_callback(lambda ended: self._end(name, ended, tidy))

    def cancel(self, name: str) -> None:
        """Stop an errand."""
        if (task := self._running.pop(name, None)) is not None:
            task.cancel()

    def is_running(self, name: str) -> bool:
        """Whether it has not ended yet."""
        return name in self._running

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._running:
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await asyncio.sleep(0)  # what follows an errand runs after it

    async def close(self) -> None:
        """Stop everything and wait for it."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()

    def _end(self, name: str, task: asyncio.Task[None], tidy: Callable[[], None] | None) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # The app goes on: a nurse must not lose the screen to a defect of ours.
            known = isinstance(error, MedMeshError)
            self._board.change(failure=error if known else MedMeshError("defect", fault=type(error).__name__))
        if self._running.get(name) is task:
            del self._running[name]
            if tidy is not None:
                tidy()


class Part:
    """A piece of the presenter: the shared state, the services and the errands."""

    def __init__(self, board: Board, services: Services, errands: Errands) -> None:
        self.board = board
        self.services = services
        self.errands = errands

    @property
    def state(self) -> AppState:
        """The present state."""
        return self.board.state
