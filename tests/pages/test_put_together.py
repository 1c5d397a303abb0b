"""A page is one file: nothing is loaded, and no data can end its script."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from nnx.pages.put_together import filled


def test_a_page_has_everything_inside_and_allows_its_script_only():
    given = {"text": "</script><script>alert(1)</script>", "numbers": [0.1, -2.0]}
    scripts = [f"trace_parts/{part}.js" for part in ("numbers", "lines")]
    text = filled("trace_parts/page.html", "trace_parts/style.css", scripts, given)
    data, script = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert json.loads(data) == given
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "nnxEngine" in script
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
