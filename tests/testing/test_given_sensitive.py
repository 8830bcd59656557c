"""Specifications with sensitive values: written down as a program writes them, and compared as the log has them."""

import pytest

import tallystick as ts
from tallystick.testing import SeededKeys, given, settled
from tests.actors.register import (
    Customer,
    Directory,
    Enrolled,
    Greet,
    Greeted,
    Greeting,
    Newsletter,
    Register,
    Sent,
    Subscribed,
    ada,
    enrol,
)


def test_what_is_sensitive_is_stated_as_it_is_said() -> None:
    enrolled = Enrolled(customer_id="c-ada", email=ada(), address=enrol().address, aliases=(ada(),))
    greeting = Greeting(customer_id="c-ada", email=ada())
    happened = given(Register()).when(enrol())
    happened.then(enrolled, ts.Begin(intent=greeting, actions=(Greet(customer_id="c-ada", email=ada()),)), reply=ada())
    happened.then_state(Customer, "c-ada", Customer(customer_id="c-ada", email=ada(), address=enrol().address))
    happened.then_resident(Directory, Directory().__class__(emails=Directory().emails.set("c-ada", ada())))
    happened.then_open(greeting)
    happened.when(settled(greeting, ts.Succeeded(result=Sent(to=ada("x"))))).then(Greeted(customer_id="c-ada", sent_to=ada("x")))


def test_another_text_is_a_difference_that_does_not_tell_it() -> None:
    with pytest.raises(AssertionError) as raised:
        given(Newsletter()).when(Enrolled(customer_id="c-ada", email=ada())).then(
            Subscribed(customer_id="c-ada", email=ada("other@example.org"), domain="example.org")
        )
    assert "other@" not in str(raised.value)
    assert "lovelace" not in str(raised.value)


def test_seeded_keys_repeat_and_differ_by_seed_and_person() -> None:
    made = [SeededKeys(seed).new_key(person) for seed in (0, 1) for person in ("a", "b")]
    assert made == [SeededKeys(seed).new_key(person) for seed in (0, 1) for person in ("a", "b")]
    assert len(set(made)) == 4
