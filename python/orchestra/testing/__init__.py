"""Test doubles: providers on a loopback port that answer as they are told.

    def test_my_program():
        with FakeProviders(["openai-chat"]) as fake, fake.engine() as engine:
            fake.script(["Hello.", Fault.status(503), {"tool_calls": [{"name": "add", "arguments": {"a": 1}}]}])
            assert engine.chat("Hi", model="openai-chat/fake-1").text == "Hello."
            assert fake.requests[0].body["messages"][0]["content"] == "Hi"

Everything goes over real sockets, so that any client of the protocol can be tested with it: `fake.url("openai-chat")`
is the base URL to give it.
"""

from __future__ import annotations

from orchestra.testing.fake_providers import FakeProviders, Fault

__all__ = ["FakeProviders", "Fault"]
