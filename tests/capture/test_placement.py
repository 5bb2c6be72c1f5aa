"""The place of requests that follow each other in one process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path

import pytest

from tidegauge.capture.history import NOTHING_TOLD, Told
from tidegauge.capture.placement import Conversations, Placement
from tidegauge.schemas.exchange import Message

MINUTE = 60_000
CALLS = '[{"id": "call_7", "function": {"name": "tide"}}]'


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str) -> Message:
    return Message(role="assistant", content=text)


def turns(*texts: str) -> list[Message]:
    """The user's and the assistant's messages in turn, beginning with the user's."""
    return [(user, assistant)[index % 2](text) for index, text in enumerate(texts)]


class Served:
    """A process that serves requests, one a minute."""

    def __init__(self, secret: bytes = b"secret") -> None:
        self.conversations = Conversations(secret)
        self.now_ms = 0
        self._numbers = count(1)

    def ask(
        self,
        *messages: Message,
        told: Told = NOTHING_TOLD,
        caller: str = "acme",
        after_ms: int = MINUTE,
    ) -> Placement:
        """Return a request's placement; its id is ``req-`` and its number."""
        self.now_ms += after_ms
        body = json.dumps([(message.role, message.content) for message in messages]).encode()
        name = f"req-{next(self._numbers)}"
        return self.conversations.place(caller, name, messages, self.now_ms, told, body)

    def answer(  # noqa: PLR0913 - as of an exchange
        self,
        place: Placement,
        messages: Sequence[Message],
        text: str | None,
        tool_calls: str | None = None,
        *,
        response_id: str | None = None,
        failed: bool = False,
    ) -> None:
        self.conversations.answered(
            place,
            "acme",
            messages,
            text,
            tool_calls,
            response_id=response_id,
            failed=failed,
            now_ms=self.now_ms + 500,
        )


@pytest.fixture
def served() -> Served:
    return Served()


def test_a_conversation_without_an_id(served: Served) -> None:
    history: list[Message] = [Message(role="system", content="You know the tides.")]
    places = []
    for question, answer in (("High tide?", "At noon."), ("And low?", "At six."), ("Ta", "Bye.")):
        history.append(user(question))
        place = served.ask(*history)
        known = place.conversation_id
        served.answer(place, history, answer)
        history.append(assistant(f"{answer}\n"))
        places.append((known, place.conversation_id, place.turn, place.step))
    assert [place[2:] for place in places] == [(1, 1), (2, 1), (3, 1)]
    assert places[0][0] is None
    assert len({place[1] for place in places}) == 1
    assert places[1][0] == places[2][0] == places[0][1]


def test_processes_with_one_secret_agree() -> None:
    messages = turns("High tide?", "At noon.", "And low?")
    first, second, other = Served(), Served(), Served(b"another")
    found = first.ask(*messages).conversation_id
    assert found == second.ask(*messages).conversation_id
    assert found != other.ask(*messages).conversation_id


def test_callers_are_kept_apart(served: Served) -> None:
    messages = turns("High tide?", "At noon.", "And low?")
    one, other = served.ask(*messages), served.ask(*messages, caller="other")
    assert one.conversation_id != other.conversation_id
    assert other.repeat_of is None


def test_the_steps_of_a_tool_loop_belong_to_their_turn(served: Served) -> None:
    question, call = user("High tide?"), Message(role="assistant", tool_calls=CALLS)
    result = Message(role="tool", content="12:00")
    opening = served.ask(question)
    served.answer(opening, [question], None, CALLS)
    loop = served.ask(question, call, result)
    served.answer(loop, [question, call, result], "At noon.")
    later = served.ask(question, call, result, assistant("At noon."), user("And low?"))
    assert [(p.turn, p.step) for p in (opening, loop, later)] == [(1, 1), (1, 2), (2, 1)]
    assert opening.conversation_id == loop.conversation_id == later.conversation_id is not None


def test_a_client_that_gives_an_id_and_sends_no_history(served: Served) -> None:
    told = Told(conversation="thread-7")
    places = [served.ask(user(text), told=told) for text in ("High tide?", "yes", "yes", "yes")]
    assert [place.conversation_id for place in places] == ["thread-7"] * 4
    assert [place.turn for place in places] == [1, 2, 3, 4]
    assert [place.repeat_of for place in places] == [None] * 4


def test_a_client_that_gives_an_id_and_sends_the_history(served: Served) -> None:
    told = Told(conversation="thread-7")
    first = served.ask(user("High tide?"), told=told)
    second = served.ask(*turns("High tide?", "At noon.", "And low?"), told=told)
    fifth = served.ask(*turns("a", "b", "c", "d", "e", "f", "g", "h", "i"), told=told)
    assert [place.turn for place in (first, second, fifth)] == [1, 2, 5]


def test_an_edited_message_is_another_turn(served: Served) -> None:
    served.ask(*turns("High tide?", "At noon.", "And low?"))
    edited = served.ask(*turns("High tide?", "At noon.", "And low tide?"))
    after = served.ask(*turns("High tide?", "At noon.", "And low tide?", "At six.", "Thanks"))
    assert (edited.turn, edited.repeat_of, after.turn) == (3, None, 4)


def test_a_client_that_sends_only_the_last_messages(served: Served) -> None:
    texts = [f"question {n}" if n % 2 == 0 else f"answer {n}" for n in range(13)]
    ids = []
    for end in range(1, 14, 2):
        window = turns(*texts[:end])[-5:]
        place = served.ask(*window)
        if end < 13:
            served.answer(place, window, texts[end])
        ids.append((place.conversation_id, place.turn))
    assert len({conversation for conversation, _ in ids}) == 1
    assert [turn for _, turn in ids] == [1, 2, 3, 4, 5, 6, 7]


def test_a_common_closing_does_not_join_conversations(served: Served) -> None:
    """Both beginnings are known, so the equal last exchange decides nothing."""
    closing = "You are welcome! Let me know if you have any other questions about tides."
    ids = []
    for town in ("Husum", "Emden"):
        texts = [f"High tide in {town}?", "At noon.", "Thanks", closing, f"And low in {town}?"]
        for end in (1, 3, 5):
            messages = turns(*texts[:end])
            place = served.ask(*messages)
            served.answer(place, messages, [*texts, "At six."][end])
        ids.append(place.conversation_id)
    assert ids[0] != ids[1]


class TestChains:
    """``previous_response_id``: the request has only what is new."""

    def test_a_chain_is_followed(self, served: Served) -> None:
        places = []
        told = NOTHING_TOLD
        for number, text in enumerate(("High tide?", "And low?", "Thanks")):
            place = served.ask(user(text), told=told)
            served.answer(place, [user(text)], f"answer {number}", response_id=f"resp-{number}")
            told = Told(predecessor=f"resp-{number}")
            places.append(place)
        assert [place.turn for place in places] == [1, 2, 3]
        assert len({place.conversation_id for place in places}) == 1
        assert places[0].conversation_id is not None

    def test_results_of_tools_continue_the_turn(self, served: Served) -> None:
        opening = served.ask(user("High tide?"))
        served.answer(opening, [user("High tide?")], None, CALLS, response_id="resp-1")
        result = Message(role="tool", content="12:00")
        loop = served.ask(result, told=Told(predecessor="resp-1"))
        served.answer(loop, [result], "At noon.", response_id="resp-2")
        later = served.ask(user("And low?"), told=Told(predecessor="resp-2"))
        assert [(p.turn, p.step) for p in (loop, later)] == [(1, 2), (2, 1)]
        assert later.conversation_id == opening.conversation_id

    def test_an_unknown_predecessor_leaves_the_conversation_open(self, served: Served) -> None:
        place = served.ask(user("And low?"), told=Told(predecessor="resp-0"))
        served.answer(place, [user("And low?")], "At six.", response_id="resp-1")
        after = served.ask(user("Thanks"), told=Told(predecessor="resp-1"))
        assert (place.conversation_id, place.turn) == (None, 2)
        assert (after.conversation_id, after.turn) == (None, 2)

    def test_a_branch_is_another_turn_of_its_conversation(self, served: Served) -> None:
        opening = served.ask(user("High tide?"))
        served.answer(opening, [user("High tide?")], "At noon.", response_id="resp-1")
        branches = [
            served.ask(user(text), told=Told(predecessor="resp-1")) for text in ("a?", "b?")
        ]
        assert [place.turn for place in branches] == [2, 3]

    def test_an_id_beside_the_chain_counts(self, served: Served) -> None:
        told = Told(conversation="conv-1", predecessor="resp-0")
        place = served.ask(user("And low?"), told=told)
        assert (place.conversation_id, place.turn) == ("conv-1", 2)


class TestTemplates:
    """Examples at the beginning of a prompt are no history."""

    examples = turns("great!", "positive", "awful", "negative")

    def learnt(self, served: Served) -> None:
        for number in range(8):
            served.ask(*self.examples, user(f"review {number}"))

    def test_until_they_are_known_they_join(self, served: Served) -> None:
        places = [served.ask(*self.examples, user(f"review {number}")) for number in range(7)]
        assert len({place.conversation_id for place in places}) == 1
        assert places[0].conversation_id is not None

    def test_a_first_request_is_an_opening(self, served: Served) -> None:
        self.learnt(served)
        place = served.ask(*self.examples, user("review"))
        assert (place.conversation_id, place.turn) == (None, 1)
        other = served.ask(*self.examples, user("review"), caller="other")
        assert other.turn == 3

    def test_conversations_after_them_are_told_apart(self, served: Served) -> None:
        self.learnt(served)
        ids = []
        for number in range(2):
            opening = [*self.examples, user(f"a long review, number {number}")]
            first = served.ask(*opening)
            served.answer(first, opening, "positive")
            second = served.ask(*opening, assistant("positive"), user("Why?"))
            assert (second.turn, second.conversation_id) == (2, first.conversation_id)
            ids.append(second.conversation_id)
        assert len(set(ids)) == 2

    def test_a_person_who_edits_a_message_is_no_template(self, served: Served) -> None:
        for number in range(6):
            served.ask(*turns("High tide?", "At noon.", f"edit {number}"))
        assert served.ask(*turns("High tide?", "At noon.", "last edit")).turn == 8

    def test_one_conversation_with_an_id_is_no_template(self, served: Served) -> None:
        told = Told(conversation="thread-7")
        for number in range(20):
            place = served.ask(*turns("High tide?", "At noon.", f"edit {number}"), told=told)
        assert place.turn == 21


class TestRepeats:
    """The same request, sent again."""

    def test_one_that_says_so(self, served: Served) -> None:
        first = served.ask(user("High tide?"))
        again = served.ask(user("High tide?"), told=Told(retry=True), after_ms=10 * MINUTE)
        third = served.ask(user("High tide?"), told=Told(retry=True), after_ms=10 * MINUTE)
        assert (first.repeat_of, again.repeat_of, third.repeat_of) == (None, "req-1", "req-1")
        assert (again.turn, again.request_id) == (1, "req-2")

    def test_one_that_says_so_but_was_never_seen(self, served: Served) -> None:
        served.ask(user("High tide?"))
        assert served.ask(user("Low tide?"), told=Told(retry=True)).repeat_of is None

    def test_an_idempotency_key(self, served: Served) -> None:
        told = Told(idempotency_key="key-1")
        served.ask(user("High tide?"), told=told)
        assert served.ask(user("High tide?"), told=told).repeat_of == "req-1"
        other = served.ask(user("High tide?"), told=told, caller="other")
        assert other.repeat_of is None

    def test_one_after_a_failure(self, served: Served) -> None:
        first = served.ask(user("High tide?"))
        served.answer(first, [user("High tide?")], None, failed=True)
        again = served.ask(user("High tide?"), after_ms=30_000)
        assert again.repeat_of == "req-1"
        served.answer(again, [user("High tide?")], "At noon.")
        assert served.ask(user("High tide?"), after_ms=30_000).repeat_of is None

    def test_an_outage_does_not_make_one_request_of_a_common_wording(self, served: Served) -> None:
        """Otherwise the share of greetings would fall whenever requests fail."""
        places = []
        for _ in range(50):
            place = served.ask(user("hi"), after_ms=20_000)
            served.answer(place, [user("hi")], None, failed=True)
            places.append(place)
        assert sum(place.repeat_of is not None for place in places) <= 5

    def test_one_that_follows_at_once(self, served: Served) -> None:
        served.ask(user("High tide?"))
        assert served.ask(user("High tide?"), after_ms=500).repeat_of == "req-1"
        assert served.ask(user("Low tide?"), after_ms=500).repeat_of is None

    def test_a_common_greeting_is_not_one_request(self, served: Served) -> None:
        places = [served.ask(user("hi"), after_ms=100) for _ in range(200)]
        assert sum(place.repeat_of is not None for place in places) == 1
        slow = [served.ask(user("hello"), after_ms=MINUTE) for _ in range(200)]
        assert all(place.repeat_of is None for place in slow)

    def test_a_follow_up_from_the_same_answers(self, served: Served) -> None:
        messages = turns("High tide?", "At noon.", "And low?")
        first = served.ask(*messages)
        again = served.ask(*messages, after_ms=5 * MINUTE)
        assert again.repeat_of == "req-1"
        assert (again.conversation_id, again.turn) == (first.conversation_id, 2)
        assert served.ask(*messages, user("now?")).turn == 3

    @pytest.mark.parametrize("more", [0, 5000])
    def test_bodies_that_differ_are_two_requests(self, served: Served, more: int) -> None:
        messages = [user("High tide?")]
        bodies = [b'{"seed": %d, "more": "%b"}' % (seed, b"x" * more) for seed in (1, 2, 2)]
        places = [
            served.conversations.place("acme", f"req-{n}", messages, n, NOTHING_TOLD, body)
            for n, body in enumerate(bodies)
        ]
        assert [place.repeat_of for place in places] == [None, None, "req-1"]

    @pytest.mark.parametrize("size", [10, 5000])
    def test_texts_that_differ_are_two_requests_without_a_body(
        self, served: Served, size: int
    ) -> None:
        for start, end in (("a", "c"), ("b", "c"), ("a", "d"), ("a", "cc")):
            message = user(start + "x" * size + end)
            place = served.conversations.place("acme", "req", [message], 1)
            assert place.repeat_of is None


@pytest.mark.skipif("TIDEGAUGE_DATA_DIR" not in os.environ, reason="TIDEGAUGE_DATA_DIR is not set")
@pytest.mark.parametrize("window", [None, 3])
def test_real_conversations_at_the_same_time(window: int | None) -> None:
    """Each keeps one id, also where the client sends the last three exchanges only."""
    source = Path(os.environ["TIDEGAUGE_DATA_DIR"], "sgd/conversations.jsonl")
    with source.open() as file:
        dialogues = [json.loads(line)["turns"] for line in islice(file, 500)]
    served = Served()
    found: list[list[Placement]] = [[] for _ in dialogues]
    for turn in range(max(map(len, dialogues))):
        for dialogue, own in zip(dialogues, found, strict=True):
            if turn < len(dialogue):
                said = [text for asked in dialogue[:turn] for text in asked[:2]]
                messages = turns(*said, dialogue[turn][0])[-2 * (window or 99) - 1 :]
                own.append(served.ask(*messages, after_ms=100))
                served.answer(own[-1], messages, dialogue[turn][1])
    ids = [{place.conversation_id for place in own} for own in found]
    assert sum(len(one) == 1 for one in ids) >= 0.95 * len(ids)
    assert len(set.union(*ids)) >= 0.95 * len(ids)
    in_order = [[place.turn for place in own] == [*range(1, len(own) + 1)] for own in found]
    assert sum(in_order) >= 0.95 * len(in_order)


def test_the_memory_is_bounded(served: Served) -> None:
    for number in range(40_000):
        served.ask(user(f"question {number}"), after_ms=1)
    kept = served.conversations._sent
    assert len(kept._new) + len(kept._old) <= 16_384
    again = Told(retry=True)
    assert served.ask(user("question 39990"), told=again).repeat_of == "req-39991"
    assert served.ask(user("question 3"), told=again).repeat_of is None
