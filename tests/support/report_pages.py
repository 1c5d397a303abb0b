"""Read the page of a report, and copy runs without their checksums."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "input"}


class Page(HTMLParser):
    """Elements with their attributes, and the text that is shown; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(path):
    return Page(Path(path).read_text(encoding="utf-8"))


def unchecked(run, folder):
    """A copy of a run without checksums, as version 0.1 wrote them, or somebody who means harm."""
    shutil.copytree(run, folder)
    stored = json.loads((folder / "result.json").read_text())
    del stored["checksums"]
    (folder / "result.json").write_text(json.dumps(stored))
