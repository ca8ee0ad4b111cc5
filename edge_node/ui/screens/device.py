"""The device: how current, what it holds, who is around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Row
from edge_node.ui.screens.widgets.limit import Limit
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch
from edge_node.ui.values import DeviceReport, SetAside, Stored

_QUOTAS_MB = (0, 100, 500, 2000)


class DevicePage(Page):
    """Status, sync, storage, bandwidth, peers."""

    def title(self) -> str:
        """What it is."""
        return self.words.t("Device")

    def depends(self) -> Any:
        """The report, and what is under way."""
        return self.state.device, self.state.language

    def build(self) -> Iterator[Widget]:
        """Freshness, membership, storage, traffic, neighbours."""
        device, words = self.state.device, self.words
        report = device.report
        if report is None:
            yield self.note(words.t("One moment …"))
            return
        text, warning = wording.freshness(report.freshness, words, member=report.membership is not None)
        yield self.note(text, warning=warning)
        if report.membership is not None:
            yield Touch(
                words.t("Updating …") if device.syncing else words.t("Update now"),
                None if device.syncing else self.presenter.device.sync,
                key="device.sync",
                pair=theme.PRIMARY,
            )
        if device.synced:
            yield self.note(words.t("List, models and knowledge base are up to date."))
        yield self._membership(report)
        yield self._storage(report)
        yield self._traffic(report)
        if report.problems:
            yield Card(
                Text(words.t("Lately refused"), size=theme.TITLE), *(Text(p, size=theme.SMALL) for p in report.problems)
            )
        yield from self._neighbours()

    def _membership(self, report: DeviceReport) -> Widget:
        words, member = self.words, report.membership
        if member is None:
            join = Touch(
                words.t("Join a coordinator"), self.presenter.joining.open, key="device.join", pair=theme.PRIMARY
            )
            return Card(Text(words.t("Not joined to a coordinator yet")), join)
        parts = [
            Text(words.t("Coordinator"), size=theme.TITLE),
            Text(member.coordinator),
            Text(words.t("This device is called {name} there.", name=member.name), size=theme.SMALL),
        ]
        if member.certificate_end is not None:
            day = member.certificate_end.astimezone().strftime("%Y-%m-%d")
            parts.append(
                Text(words.t("Certificate valid until {day}; it is renewed by itself.", day=day), size=theme.SMALL)
            )
        join = Touch(
            words.t("Join another coordinator"), self.presenter.joining.open, key="device.join", size=theme.SMALL
        )
        return Card(*parts, join)

    def _storage(self, report: DeviceReport) -> Widget:
        words = self.words
        used, free = wording.size_text(report.bytes_stored), wording.size_text(report.bytes_free)
        parts = [
            Text(words.t("Storage"), size=theme.TITLE),
            Text(words.t("Models: {used}; free: {free}", used=used, free=free)),
        ]
        for model in report.stored:
            parts += self._stored(model)
        if len(report.stored) > 1:
            parts.append(Text(words.t("Files that models share are kept once."), size=theme.SMALL))
        for item in report.set_aside:
            parts += self._set_aside(item)
        parts.append(Text(words.t("Space for models, at most")))
        parts.append(Limit(report.quota_mb, _QUOTAS_MB, "MB", self.presenter.device.set_quota, "device.quota", words))
        version = report.knowledge_version
        parts.append(
            Text(
                words.t("Knowledge base: {version}", version=version)
                if version
                else words.t("No knowledge base here yet")
            )
        )
        parts.append(Text(words.t("Program version {version}", version=report.version), size=theme.SMALL))
        return Card(*parts)

    def _stored(self, model: Stored) -> tuple[Widget, ...]:
        words, shelf = self.words, self.state.shelf
        name = wording.name_of(shelf.name(model.disease), words) if shelf else model.disease
        text = words.t(" · ").join((name, model.release, wording.size_text(model.size_bytes)))
        pin = Touch(
            words.t("Always kept: tap to change") if model.pinned else words.t("Keep even when space runs short"),
            lambda: self.presenter.device.pin(model.disease, model.model, pinned=not model.pinned),
            key=f"device.pin.{model.disease}.{model.model}",
            pair=theme.PRIMARY if model.pinned else theme.PLAIN,
            size=theme.SMALL,
        )
        return Text(text, size=theme.SMALL), pin

    def _set_aside(self, item: SetAside) -> tuple[Widget, ...]:
        words, day = self.words, item.since.astimezone().strftime("%Y-%m-%d")
        text = words.t("{release} failed on this device on {day} and was set aside.", release=item.release, day=day)
        again = Touch(
            words.t("Let it run again"),
            lambda: self.presenter.device.readmit(item.release),
            key=f"device.readmit.{item.release}",
            size=theme.SMALL,
        )
        return Text(text, size=theme.SMALL, ink=theme.DANGER.ground), again

    def _traffic(self, report: DeviceReport) -> Widget:
        words = self.words
        names = {
            "metadata": words.t("lists"),
            "coordinator": words.t("from the coordinator"),
            "mirror": words.t("from mirrors"),
            "peers": words.t("from other nodes"),
        }
        parts = [Text(words.t("Received since the start"), size=theme.TITLE)]
        parts += [
            Text(f"{names.get(k, k)}: {wording.size_text(v)}", size=theme.SMALL)
            for k, v in report.bytes_received.items()
        ]
        if report.waiting is not None:
            parts.append(
                Text(words.n("{count} result waits to be sent", "{count} results wait to be sent", report.waiting))
            )
        if report.key_in_file:
            parts.append(Text(wording.key_file(words), size=theme.SMALL))
        return Card(*parts)

    def _neighbours(self) -> Iterator[Widget]:
        device, words = self.state.device, self.words
        yield self.heading(words.t("On the local network"))
        yield Touch(
            words.t("Listening …") if device.listening else words.t("Look for nodes"),
            None if device.listening else self.presenter.device.listen,
            key="device.listen",
        )
        if device.neighbours is None:
            return
        if not device.neighbours:
            yield self.note(words.t("Nobody was heard."))
        for found in device.neighbours:
            role = words.t("Coordinator") if found.role == "coordinator" else words.t("Node")
            trust = words.t("proved to be yours") if found.trusted else words.t("not trusted")
            yield Card(Row(Text(role), Text(trust, align="right")), Text(found.address, size=theme.SMALL))
