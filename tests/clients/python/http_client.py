"""httpx over HTTP/1.1 and cleartext HTTP/2, as a Python program would use REST.
Settings: VDOM_URL, VDOM_REPO and VDOM_WRITER (a token)."""

import json
import os
import time
import unittest

import httpx

PIECE = b"0123456789abcdef" * 4096
PIECES = 48
TIMEOUT_SECONDS = 20


class Rest:
    """What must hold whatever version of HTTP is spoken."""

    http2 = False

    def setUp(self):
        self.http = httpx.Client(
            base_url=os.environ["VDOM_URL"],
            headers={"authorization": f"Bearer {os.environ['VDOM_WRITER']}"},
            # Only one of them: HTTP/2 without TLS is spoken with prior knowledge.
            http1=not self.http2,
            http2=self.http2,
            timeout=TIMEOUT_SECONDS,
        )
        self.addCleanup(self.http.close)
        name = "http-2" if self.http2 else "http-1"
        self.branch = f"/v1/repos/{os.environ['VDOM_REPO']}/branches/{name}"

    @property
    def http_version(self):
        return "HTTP/2" if self.http2 else "HTTP/1.1"

    def put(self, path, content):
        answer = self.http.put(f"{self.branch}/nodes/{path}", content=content)
        self.assertTrue(answer.is_success, answer.text)
        self.assertEqual(answer.http_version, self.http_version)
        return answer

    def test_a_content_is_written_and_read_as_streams(self):
        def pieces():
            for _ in range(PIECES):
                yield PIECE

        # Of unknown length: chunked in HTTP/1.1, frames in HTTP/2.
        self.put("streamed", pieces())
        with self.http.stream("GET", f"{self.branch}/nodes/streamed") as answer:
            self.assertEqual(answer.status_code, 200)
            self.assertEqual(answer.http_version, self.http_version)
            content = b"".join(answer.iter_raw())
        self.assertEqual(content, PIECE * PIECES)

    def test_an_entity_tag_saves_the_content(self):
        self.put("tagged", b"first")
        read = self.http.get(f"{self.branch}/nodes/tagged")
        tag = {"if-none-match": read.headers["etag"]}
        again = self.http.get(f"{self.branch}/nodes/tagged", headers=tag)
        self.assertEqual((again.status_code, again.content), (304, b""))
        self.put("tagged", b"second")
        changed = self.http.get(f"{self.branch}/nodes/tagged", headers=tag)
        self.assertEqual((changed.status_code, changed.content), (200, b"second"))

    def test_events_come_as_they_happen_and_resume(self):
        self.put("watched/0", b"")
        url, latest = f"{self.branch}/changes", None
        with self.http.stream("GET", url, params={"paths": "watched"}) as stream:
            self.assertEqual(stream.headers["content-type"], "text/event-stream")
            events = changes_and_progress(stream)
            # The first says from where on nothing is missed.
            self.assertEqual(next(events)["event"], "progress")
            self.put("watched/1", b"")
            latest = next(event for event in events if event["event"] == "change")
            self.assertEqual(json.loads(latest["data"])["path"], "watched/1")
        self.put("watched/2", b"")
        after = {"last-event-id": latest["id"]}
        with self.http.stream("GET", url, params={"paths": "watched"}, headers=after) as stream:
            events = changes_and_progress(stream)
            resumed = next(event for event in events if event["event"] == "change")
            self.assertEqual(json.loads(resumed["data"])["path"], "watched/2")

    def test_a_refusal_is_a_problem_document(self):
        self.put("there", b"")
        answer = self.http.get(f"{self.branch}/nodes/nowhere")
        self.assertEqual(answer.status_code, 404)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertIn("nowhere", answer.json()["detail"])
        # The connection goes on.
        self.assertEqual(self.http.get(f"{self.branch}/nodes/there").status_code, 200)


def changes_and_progress(stream):
    """The events of a stream of server-sent events, without what only sets `retry`."""
    fields = {}
    until = time.monotonic() + TIMEOUT_SECONDS
    for line in stream.iter_lines():
        # Progress every second keeps the client's own timeout from ending this.
        if time.monotonic() > until:
            raise TimeoutError("no such event came")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields
            fields = {}
        else:
            fields = {}


class Http1(Rest, unittest.TestCase):
    """Over HTTP/1.1."""


class Http2(Rest, unittest.TestCase):
    """Over HTTP/2 without TLS."""

    http2 = True


if __name__ == "__main__":
    unittest.main()
