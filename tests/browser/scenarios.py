# SPDX-License-Identifier: MIT
"""What two people see, in the order of a visit. Each function is a test; they share one cluster and
two pages, so each leaves both connected and in #general."""

import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import ws
from cluster import Cluster
from wait import Timeout, holds, until
from webdriver import ENTER, ESCAPE, SHIFT

HOSTILE_TEXT = ('<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
                "<b>bold</b> javascript:alert(1)")
HOSTILE_NAME = "<i>mallory</i>"


class Visit:
    """build: a folder with parley; alice and bob: ChatPage; screenshots: a folder or None."""

    def __init__(self, build, cluster, alice, bob, screenshots):
        self.build = build
        self.cluster = cluster
        self.alice = alice
        self.bob = bob
        self.screenshots = screenshots

    @property
    def both(self):
        return (self.alice, self.bob)

    def screenshot(self, page, name):
        if self.screenshots:
            page.browser.screenshot(os.path.join(self.screenshots, f"{name}.png"))

    def apart(self):
        """Both are on different gateways; HAProxy gives the second the gateway with fewer."""
        for _ in range(6):
            if self.alice.gateway != self.bob.gateway:
                return
            self.bob.drop_connection()
        raise AssertionError(f"both stay on {self.alice.gateway}")

    def gateway_of(self, page):
        return next(g for g in self.cluster.gateways if g.name == page.gateway)


def two_pages_enter_and_reach_different_gateways(visit):
    visit.alice.enter(visit.cluster.url)
    visit.bob.enter(visit.cluster.url + "/#general")
    visit.apart()


def both_see_who_is_online(visit):
    for page, other in (visit.both, visit.both[::-1]):
        page.wait(lambda: page.online == 2, "counts 2 online")
        names = [page.user, other.user]
        page.wait(lambda: page.people == names, "sees itself first, then the other")
        page.wait(lambda: page.text("#people-title") == "Online — 2", "counts above the list")


def chat_goes_both_ways_across_gateways(visit):
    visit.alice.say("Hi from one gateway")
    visit.bob.wait_message("Hi from one gateway")
    visit.alice.wait_delivered("Hi from one gateway")
    visit.bob.say("Hi from the other")
    visit.alice.wait_message("Hi from the other")
    assert visit.alice.messages == visit.bob.messages, "both see one order"


def shift_enter_makes_a_new_line_and_enter_sends(visit):
    visit.bob.browser.type("#compose", "first line" + SHIFT + ENTER + SHIFT + "second line")
    assert "first line\nsecond line" not in visit.bob.messages
    visit.bob.browser.type("#compose", ENTER)
    visit.alice.wait_message("first line\nsecond line")


def the_typing_line_comes_and_goes(visit):
    visit.bob.browser.type("#compose", "hm")
    visit.alice.wait(lambda: visit.alice.text("#typing") == "bob is typing…", "sees bob typing")
    visit.bob.browser.type("#compose", ", done" + ENTER)
    visit.alice.wait_message("hm, done")
    visit.alice.wait(lambda: visit.alice.text("#typing") == "", "sees no typing after the message")


def a_direct_message_reaches_its_addressee_only(visit):
    with ws.Client(visit.gateway_of(visit.alice).port) as carol:
        carol.join("general", "carol")
        visit.alice.wait(lambda: "carol" in visit.alice.people, "sees carol")
        visit.alice.say("/msg bob just between us")
        visit.bob.wait_message("just between us")
        assert visit.bob.texts("#log .msg.direct .only") == ["only you"]
        visit.alice.wait(lambda: visit.alice.states.get("just between us") == "delivered",
                         "its direct message is delivered")
        assert visit.alice.texts("#log .msg.direct .only") == ["only to bob"]
        visit.alice.say("everybody again")
        carol.expect("chat", text="everybody again")
        assert not [m for m in carol.inbox if m["type"] == "direct"], "carol saw it"
    visit.alice.wait(lambda: "carol" not in visit.alice.people, "sees carol leave")


def a_direct_message_to_nobody_is_not_sent(visit):
    visit.alice.say("/msg nobody hello?")
    visit.alice.wait(lambda: visit.alice.states.get("hello?", "").startswith(
        "not sent (nobody of that name is online)"), "learns that nobody is there")


def text_and_names_are_never_markup(visit):
    with ws.Client(visit.gateway_of(visit.bob).port) as mallory:
        mallory.join("general", HOSTILE_NAME)
        mallory.send("chat", id=1, text=HOSTILE_TEXT)
        mallory.expect("ack", id=1)
        for page in visit.both:
            page.wait_message(HOSTILE_TEXT)
            page.wait(lambda: HOSTILE_NAME in page.people, "lists the hostile name as text")
            assert page.count("#chat :is(img, script, b:not(#whoami), i)") == 0, "markup came alive"
            assert page.browser.run("return window.hacked ?? null") is None
        mallory.send("chat", id=2, text="see https://example.org/a?b=1. Or javascript:alert(1)")
        visit.alice.wait(lambda: visit.alice.count("#log a") == 1, "sees one link")
        assert visit.alice.browser.run(
            "const a = document.querySelector('#log a'); return [a.href, a.rel]") == [
                "https://example.org/a?b=1", "noopener noreferrer nofollow"]


def another_room_counts_what_was_not_read(visit):
    visit.alice.browser.type("#join-name", "support" + ENTER)
    visit.alice.wait(lambda: visit.alice.text("#room-title") == "# support", "shows the new room")
    visit.alice.wait(lambda: visit.alice.online == 1, "is alone there")
    visit.bob.say("anybody in general?")
    visit.alice.wait(lambda: visit.alice.texts("#rooms .badge") == ["1"], "has one unread message")
    visit.screenshot(visit.alice, "chat-unread")
    visit.alice.browser.run("window.location.hash = '#general'")
    visit.alice.wait(lambda: visit.alice.text("#room-title") == "# general", "shows general again")
    visit.alice.wait_message("anybody in general?")
    assert visit.alice.count("#rooms .badge") == 0


def an_address_may_name_a_gateway_of_the_same_host(visit):
    gateway = visit.gateway_of(visit.alice)
    ws_url = f"ws://127.0.0.1:{gateway.port}/ws"
    url = f"{gateway.url}/?ws={urllib.parse.quote(ws_url)}#general"
    visit.bob.enter(url)
    visit.bob.wait(lambda: visit.bob.gateway == gateway.name, "is on the gateway it asked for")
    visit.bob.enter(visit.cluster.url + "/?ws=ws%3A%2F%2Fexample.org%2Fws#general")
    visit.apart()
    both_see_who_is_online(visit)


def who_comes_later_sees_what_was_said_before(visit):
    visit.alice.say("before bob came back")
    visit.alice.wait_delivered("before bob came back")
    visit.bob.enter(visit.cluster.url + "/?again#general")
    visit.bob.wait_message("before bob came back")
    visit.apart()
    both_see_who_is_online(visit)
    said = [text for text in visit.bob.messages if text in visit.alice.messages]
    assert len(said) > 2 and said == [t for t in visit.alice.messages if t in said], "in one order"


def every_look_has_its_picture(visit):
    page = visit.alice
    schemes = {"chat-light": "light", "chat-dark": "dark"}
    colours = {}
    for name, scheme in schemes.items():
        page.browser.devtools("Emulation.setEmulatedMedia",
                              features=[{"name": "prefers-color-scheme", "value": scheme}])
        colours[scheme] = page.browser.run("return getComputedStyle(document.body).backgroundColor")
        visit.screenshot(page, name)
    assert colours["light"] != colours["dark"], "both themes look the same"
    page.open_details()
    visit.screenshot(page, "chat-details-dark")
    page.close_details()
    page.browser.devtools("Emulation.setEmulatedMedia", features=[])
    _look_on_a_phone(visit, page)


def _look_on_a_phone(visit, page):
    page.browser.devtools("Emulation.setDeviceMetricsOverride",
                          width=390, height=760, deviceScaleFactor=1, mobile=True)
    try:
        assert not page.visible("#rooms-side"), "the rooms are behind their button"
        visit.screenshot(page, "chat-mobile")
        page.browser.click("#show-rooms")
        page.wait(lambda: page.visible("#rooms-side"), "opens the rooms")
        visit.screenshot(page, "chat-mobile-rooms")
        page.browser.type("#join-name", ESCAPE)
        page.wait(lambda: not page.visible("#rooms-side"), "closes the rooms")
        wide = page.browser.run("return document.documentElement.scrollWidth")
        assert wide <= 390, f"the page is {wide} px wide"
        small = page.browser.run("""
            return [...document.querySelectorAll('button, input, textarea, a.btn')]
              .filter((node) => node.getClientRects().length > 0)
              .filter((node) => !node.matches('.link, .chip'))
              .filter((node) => node.getBoundingClientRect().height < 43.5)
              .map((node) => node.id || node.className)""")
        assert small == [], f"touch targets under 44 px: {small}"
    finally:
        page.browser.devtools("Emulation.clearDeviceMetricsOverride")


def switched_offline_it_keeps_messages_and_sends_them_once(visit):
    visit.alice.open_details()
    visit.alice.browser.click("#go-offline")
    visit.alice.wait(lambda: visit.alice.pill == "Offline", "is offline")
    assert visit.alice.text("#banner-title") == "You are offline."
    visit.alice.close_details()
    visit.alice.say("written offline")
    assert visit.alice.states["written offline"] == "waiting to send"
    visit.screenshot(visit.alice, "chat-offline")
    visit.alice.open_details()
    visit.alice.browser.click("#go-offline")
    visit.alice.close_details()
    visit.alice.wait_connected()
    visit.alice.wait_delivered("written offline")
    visit.bob.wait_message("written offline")
    visit.apart()
    both_see_who_is_online(visit)
    assert visit.bob.messages.count("written offline") == 1


def a_killed_gateway_is_replaced_and_nothing_is_said_twice(visit):
    text = "said while the gateway was dead"
    dead = visit.gateway_of(visit.alice)
    visit.alice.record_pill(say_when_lost=text)
    dead.kill()
    visit.bob.say("alice is away")
    visit.alice.wait(lambda: visit.alice.gateway not in (None, dead.name),
                     "is connected again, to another gateway", 30)
    assert visit.alice.pill_texts[0] == "Reconnecting…", visit.alice.pill_texts
    visit.alice.wait_message("alice is away")
    visit.alice.wait_delivered(text)
    visit.bob.wait_message(text)
    both_see_who_is_online(visit)
    holds(lambda: visit.bob.messages.count(text) == 1 and visit.alice.messages.count(text) == 1,
          1.0, "the message is there once")
    dead.restart()


def a_gateway_that_shuts_down_is_left_without_a_word(visit):
    visit.apart()
    leaving = visit.gateway_of(visit.alice)
    visit.alice.record_pill()
    visit.alice.record_banner()
    leaving.terminate()
    said = [f"said while a gateway leaves, {number}" for number in range(5)]
    for text in said:
        visit.bob.say(text)
    visit.alice.say("said by one who moves")
    visit.alice.wait(lambda: visit.alice.gateway not in (None, leaving.name), "has moved", 30)
    for text in [*said, "said by one who moves"]:
        for page in visit.both:
            page.wait_message(text)
    visit.alice.wait_delivered("said by one who moves")
    assert set(visit.alice.pill_texts) <= {"Connected"}, visit.alice.pill_texts
    assert visit.alice.banner_texts == [], visit.alice.banner_texts
    for page in visit.both:
        seen = [text for text in page.messages if text in said]
        assert seen == said, f"{page.user} sees each once and in order: {seen}"
    assert leaving.wait_exit(10) == 0
    leaving.start()
    leaving.wait_ready()
    visit.apart()
    both_see_who_is_online(visit)


def a_laptop_that_slept_for_an_hour_is_back_at_once(visit):
    visit.alice.open_details()
    before = visit.alice.wait(lambda: visit.alice.place, "is connected")
    # Only the clock sleeps here, not the network: a frame that comes before the page's next tick proves that the
    # connection lives, and it is right to keep it then. So it sleeps again until nothing disturbs it.
    for night in range(1, 6):
        wake_up = visit.alice.sleep(3600 * night)
        try:
            visit.alice.wait(lambda: visit.alice.place not in (None, before),
                             "is on a new connection after the next tick of its clock", 4)
            break
        except Timeout:
            assert night < 5, "five nights, and it never looked for a new connection"
        finally:
            wake_up()
    visit.alice.close_details()
    visit.bob.say("good morning")
    visit.alice.wait_message("good morning")
    assert visit.alice.messages.count("good morning") == 1
    visit.apart()
    both_see_who_is_online(visit)


def a_full_gateway_is_waited_for_beyond_all_tries(visit):
    with Cluster(visit.build, gateways=1, redis=False, haproxy=False,
                 settings={"client.max_connections": "1"}) as small:
        gateway = small.gateways[0]
        with ws.Client(gateway.port) as seated:
            seated.join("general", "carol")
            visit.bob.begin(f"{gateway.url}/#general")
            visit.bob.wait(lambda: visit.bob.text("#banner-title") == "No connection.",
                           "says that there is no connection")

            def refusals():
                return gateway.metrics().total("parley_handshakes_rejected_total", reason="full")
            before = refusals()
            until(lambda: refusals() >= before + 4, 60, "bob asks again, and why", every_s=0.2)
            assert "(try 1 of 5)" in visit.bob.text("#banner-text"), "no refusal counts as a try"
        visit.bob.wait_connected()
    visit.bob.enter(visit.cluster.url + "/?back#general")
    visit.apart()
    both_see_who_is_online(visit)


def after_five_tries_it_asks_and_a_refresh_keeps_what_was_unsent(visit):
    text = "kept over a refresh"
    visit.alice.wait_connected()
    for gateway in visit.cluster.gateways:
        gateway.kill()
    visit.alice.wait(lambda: visit.alice.pill == "Reconnecting…", "notices the loss")
    visit.alice.say(text)
    visit.alice.wait(lambda: visit.alice.text("#banner-text").startswith("Reconnecting in "),
                     "counts down", 30)
    visit.screenshot(visit.alice, "chat-reconnecting")
    for page in visit.both:
        page.wait(lambda: page.pill == "Failed", "gives up", 60)
        assert page.text("#banner-title") == "Could not reconnect after 5 tries."
    assert visit.alice.text("#banner-text") == (
        "Refresh the page or retry. 1 unsent message is kept.")
    visit.screenshot(visit.alice, "chat-failed")
    for gateway in visit.cluster.gateways:
        gateway.restart()
    visit.cluster.haproxy.wait_ready()
    visit.bob.browser.click("#retry")
    visit.bob.wait_connected()
    visit.alice.browser.refresh()
    visit.alice.wait_connected()
    visit.alice.wait_delivered(text)
    visit.bob.wait_message(text)
    both_see_who_is_online(visit)


def nothing_broke_the_pages_own_rules(visit):
    """No script error, and no violation of the content security policy."""
    for page in visit.both:
        found = [entry["message"] for entry in page.browser.console()
                 if "Content Security Policy" in entry["message"]
                 or entry["source"] == "javascript" and "WebSocket" not in entry["message"]]
        assert not found, f"{page.user}'s console: {found}"


SCENARIOS = [
    two_pages_enter_and_reach_different_gateways,
    both_see_who_is_online,
    chat_goes_both_ways_across_gateways,
    shift_enter_makes_a_new_line_and_enter_sends,
    the_typing_line_comes_and_goes,
    a_direct_message_reaches_its_addressee_only,
    a_direct_message_to_nobody_is_not_sent,
    text_and_names_are_never_markup,
    another_room_counts_what_was_not_read,
    who_comes_later_sees_what_was_said_before,
    every_look_has_its_picture,
    an_address_may_name_a_gateway_of_the_same_host,
    switched_offline_it_keeps_messages_and_sends_them_once,
    a_killed_gateway_is_replaced_and_nothing_is_said_twice,
    a_gateway_that_shuts_down_is_left_without_a_word,
    a_laptop_that_slept_for_an_hour_is_back_at_once,
    a_full_gateway_is_waited_for_beyond_all_tries,
    after_five_tries_it_asks_and_a_refresh_keeps_what_was_unsent,
    nothing_broke_the_pages_own_rules,
]
