"""From a table to predictions that a web server gives: train, save, load, answer requests.

The table has numbers, categories and missing cells. The saved file holds the network and what was learnt of
the columns, so the server needs no other code and no pickle. `answer` is a function from JSON to JSON; here,
Python's own web server calls it. In FastAPI it would be the body of a route.

    python examples/table_to_served_prediction.py --serve 8000
    curl -d '[{"area": 80, "rooms": 3, "town": "Bergen"}]' http://127.0.0.1:8000/
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from nnx import DataError
from nnx.estimators import TabularRegressor

TOWNS = {"Bergen": 1.0, "Oslo": 1.5, "Tromsø": 0.8}


def homes(rows: int, seed: int = 0) -> tuple[dict[str, Any], Any]:
    """Return a table of homes, in which some numbers of rooms are missing, and their prices."""
    random = np.random.default_rng(seed)
    area = random.uniform(30.0, 160.0, rows)
    rooms = np.clip(np.round(area / 28.0 + random.normal(0.0, 0.7, rows)), 1, None)
    town = random.choice(list(TOWNS), rows)
    level = np.array([TOWNS[name] for name in town])
    price = level * (area + 5.0 * np.sqrt(rooms)) + random.normal(0.0, 3.0, rows)
    gaps = random.random(rows) < 0.1
    return {"area": area, "rooms": np.where(gaps, np.nan, rooms), "town": town}, price


def train(path: Path, epochs: int | str = "auto") -> float:
    """Train on a table, save the model, and return the share of the variance that it explains."""
    table, price = homes(2000)
    model = TabularRegressor(64, members=4, epochs=epochs, random_state=0).fit(table, price)
    for column in model.encoder_.columns_:
        print(f"{column.name}: {column.kind}")
    model.save(path)
    return float(model.score(*homes(500, seed=1)))


def answering(path: Path) -> Callable[[bytes], tuple[int, dict[str, Any]]]:
    """Return a function that answers a request: rows as JSON in, status and predictions out."""
    model = TabularRegressor.load(path)
    names = list(model.feature_names_in_)

    def answer(body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            rows = json.loads(body)
            columns = {name: [row.get(name) for row in rows] for name in names}
        except (ValueError, AttributeError, TypeError):
            return 400, {"error": f"send a list of rows, each an object with the names {names}"}
        try:
            return 200, {"price": model.predict(columns).round(1).tolist()}
        except DataError as error:
            return 422, {"error": str(error)}

    return answer


def serve(answer: Callable[[bytes], tuple[int, dict[str, Any]]], port: int) -> HTTPServer:
    """Return a web server on this machine that answers POST requests; `serve_forever` starts it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, found = answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--serve", type=int, metavar="PORT")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "homes.safetensors"
        print(f"R² on new homes: {train(file, given.epochs):.3f}")
        reply = answering(file)
        request = [{"area": 80, "rooms": 3, "town": "Bergen"}, {"area": 80, "rooms": None, "town": "Paris"}]
        print(reply(json.dumps(request).encode()))
        if given.serve is not None:
            serve(reply, given.serve).serve_forever()
