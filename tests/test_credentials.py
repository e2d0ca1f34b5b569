"""How a call is signed in; Entra tokens come from a made-up source, and the clock is a number."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from gateway.chat import Headers
from gateway.credentials import KeyCredential, Signed, TokenCredential, Unsigned
from gateway.credentials.entra import INSTALL, SCOPE, Entra
from gateway.credentials.fetched import ASK_AGAIN_AFTER, RENEW_BEFORE, BearerCredential, Fetched
from gateway.errors import Fault, FaultKind

CALL = Unsigned("POST", "https://llm.example.com/v1/chat/completions")
KEYS = {
    "bearer": ("bearer", "k", Signed((("authorization", "Bearer k"),), ("k",))),
    "api-key": ("api-key", "k", Signed((("api-key", "k"),), ("k",))),
    "x-api-key": ("x-api-key", "k", Signed((("x-api-key", "k"),), ("k",))),
    "no auth": ("none", "k", Signed()),
    "no key": ("bearer", None, Signed()),
}


@pytest.mark.parametrize(("auth", "key", "signed"), KEYS.values(), ids=KEYS)
def test_a_key(auth, key: str | None, signed: Signed):
    assert asyncio.run(KeyCredential(auth).sign(CALL, key)) == signed


def test_a_token_as_it_is():
    expected = Signed((("authorization", "Bearer t"),), ("t",))
    assert asyncio.run(TokenCredential("t").sign(CALL, "ignored")) == expected


class Source:
    """Gives token-1, token-2, …, each good for an hour; or raises ``problem``. Waits while ``gate`` is shut."""

    def __init__(self) -> None:
        self.now, self.asked, self.problem = 1000.0, 0, None
        self.gate = threading.Event()
        self.gate.set()

    def get_token(self, scope: str) -> SimpleNamespace:
        assert scope == SCOPE
        self.asked += 1
        number = self.asked
        assert self.gate.wait(10)
        if self.problem:
            raise self.problem
        return SimpleNamespace(token=f"token-{number}", expires_on=self.now + 3600)

    def clock(self) -> float:
        return self.now


def bearer(number: int) -> Headers:
    return (("authorization", f"Bearer token-{number}"),)


class Signer:
    """Signs by a token of the source, and says with what headers."""

    def __init__(self, source: Source) -> None:
        self.tokens = Fetched(Entra(source), INSTALL, source.clock)

    async def headers(self) -> Headers | Fault:
        signed = await BearerCredential(self.tokens).sign(CALL, None)
        return signed if isinstance(signed, Fault) else signed.headers


async def settled(credential: Signer) -> None:
    if credential.tokens._fetching:
        await asyncio.wait({credential.tokens._fetching})


def test_a_token_is_kept_until_it_is_nearly_over():
    async def story() -> None:
        source = Source()
        credential = Signer(source)
        assert await credential.headers() == bearer(1)
        source.now += 3600 - RENEW_BEFORE
        assert await credential.headers() == bearer(1)
        assert source.asked == 1

    asyncio.run(story())


def test_it_is_renewed_in_the_background():
    async def story() -> None:
        source = Source()
        credential = Signer(source)
        await credential.headers()
        source.now += 3600 - RENEW_BEFORE + 1
        source.gate.clear()
        assert await credential.headers() == bearer(1), "nobody waits while the old one is good"
        assert await credential.headers() == bearer(1)
        source.gate.set()
        await settled(credential)
        assert source.asked == 2, "one fetch at a time"
        assert await credential.headers() == bearer(2)

    asyncio.run(story())


def test_all_wait_for_the_one_first_fetch():
    async def story() -> None:
        source = Source()
        source.gate.clear()
        credential = Signer(source)
        waiting = [asyncio.create_task(credential.headers()) for _ in range(5)]
        await asyncio.sleep(0)
        source.gate.set()
        assert await asyncio.gather(*waiting) == [bearer(1)] * 5
        assert source.asked == 1

    asyncio.run(story())


def test_one_that_leaves_takes_nobody_with_it():
    async def story() -> None:
        source = Source()
        source.gate.clear()
        credential = Signer(source)
        leaving = asyncio.create_task(credential.headers())
        staying = asyncio.create_task(credential.headers())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
        source.gate.set()
        assert await staying == bearer(1)
        assert source.asked == 1

    asyncio.run(story())


PROBLEMS = {
    "not signed in": (RuntimeError("no account\nlong story"), "no Entra token: RuntimeError: no account"),
    "not installed": (ImportError("azure"), "azure-identity is not installed: pip install 'skein-gateway[azure]'"),
}


@pytest.mark.parametrize(("problem", "message"), PROBLEMS.values(), ids=PROBLEMS)
def test_no_token_is_a_fault(problem: Exception, message: str):
    async def story() -> None:
        source = Source()
        source.problem = problem
        credential = Signer(source)
        fault = await credential.headers()
        assert isinstance(fault, Fault)
        assert (fault.kind, fault.message, fault.origin) == (FaultKind.BAD_CREDENTIALS, message, "gateway")
        source.problem = None
        assert await credential.headers() == bearer(2), "the next request tries again"

    asyncio.run(story())


def test_a_failed_renewal_is_no_fault_while_the_token_lasts():
    async def story() -> None:
        source = Source()
        credential = Signer(source)
        await credential.headers()
        source.problem = RuntimeError("away")
        source.now += 3600 - 1
        assert await credential.headers() == bearer(1)
        await settled(credential)
        assert await credential.headers() == bearer(1)
        assert source.asked == 2, "a source that has failed is not asked by every request"
        source.now += ASK_AGAIN_AFTER
        fault = await credential.headers()
        assert isinstance(fault, Fault)
        assert fault.message == "no Entra token: RuntimeError: away"

    asyncio.run(story())


def test_a_token_that_was_refused_is_fetched_anew():
    async def story() -> None:
        source = Source()
        credential = Signer(source)
        bearing = BearerCredential(credential.tokens)
        await credential.headers()
        assert not bearing.refused(None)
        assert await credential.headers() == bearer(1), "one that is only just here is not the reason"
        source.now += ASK_AGAIN_AFTER
        assert bearing.refused(None)
        assert await credential.headers() == bearer(2)

    asyncio.run(story())
